"""Patterns of the words around a refund word that show whether a sentence asks for the refund. Each line is one language."""

from producers.mail.reason_patterns import any_of

WANTING = any_of(
    # the writer, or the person for whom the writer asks, wants something
    r"\b(?:i|we|he|she|they|who)(?:'d| would| do| really| just| only| still| hereby| also| now| therefore| must| have to|"
    r" am| are|'m|'re| kindly| will| shall| simply| formally| officially)* (?:wants?|wish\w*|like|love|needs?|request(?:ing|s)?|"
    r"demand(?:ing|s)?|claim(?:ing|s)?|ask(?:ing|s)?|expect\w*|hope|require|insist\w*|appreciate|prefer|seek\w*|look\w* for|"
    r"apply\w*|be (?:grateful|happy|glad|fine)|cancel(?:ling)?|return(?:ing)?|withdraw(?:ing)?)\b|\bwanted to (?:ask|request|"
    r"get)\b|"
    r"\b(?:and|but|so|thus|hence|therefore|just|still|only|also|instead|now)(?: would|'d)? (?:want|like|need|request|demand|"
    r"wish|ask for|"
    r"expect)\b|\b(?:and|so) (?:am|are) \w+ing\b|(?:'m| am|are) writing to\b",
    r"(?<!zu )\b(?:möchten?|will|wollen|wollte|hätten?|würden?|wünschen?|verlangen?|fordern?|fordere|beantragen?|ersuchen?|"
    r"erwarten?|"
    r"bestehen?|brauchen?|benötigen?|bitten? (?:ich|wir|sie|um)|mit der bitte|hiermit|storniere|widerrufe|trete|mache)\b",
    r"\b(?:souhait(?:e|ons|erais|erions)|veux|veut|voulons|voudrai[st]|voudrions|réclam(?:e|ons)|exige(?:ons)?|désir(?:e|ons)|"
    r"aimerai[st]|sollicit(?:e|ons)|vous prie|me rétracte|je renonce)\b|"
    r"(?<!ma )(?<!la )(?<!une )(?<!cette )(?<!votre )(?<!notre )\bdemand(?:e|ons)\b(?! de rembours)",
    r"\b(?:quier[oe]n?|queremos|quisi(?:era|éramos)|quer(?:ía|íamos|ría)|dese[oa]n?|deseamos|solicit[oa]|solicitamos|pid[oe]|"
    r"pedimos|"
    r"exij?[jg]\w+|"
    r"reclamo|necesit[oa]|gustaría|agradecer\w+|ruego|rogamos|espero|acepto|desisto)\b",
    r"\b(?:vorre[im]\w*|vogli(?:o|amo)|vuole|chied(?:o|e|iamo)|richied(?:o|e|iamo)|desider(?:o|a|iamo)|pretendo|esigo|"
    r"preg(?:o|hiamo)|"
    r"gradire\w+|intendo|accetto|va|vanno|recedo)\b",
    r"\b(?:quero|quer|queremos|quer(?:ia|íamos)|gostari\w+|desej(?:o|a|amos)|peço|pede|pretend(?:o|emos)|exijo|preciso|"
    r"agradec(?:o|ia|emos)|venho|aceito)\b",
    r"希望し|希望です|希望いた|希望$|したい|たいです|たいと|たく|ほしい|欲しい|求め|要求|請求し|依頼(?:し(?!まし)|です)|"
    r"お願い(?!しまし|していまし)|願い(?:ます|たい)|取り消します|"
    r"キャンセルします|解除します",
    # politeness
    r"\b(?:please|pls|plz|kindly)\b|\b(?:can|could|may|might) (?:i|we|you|he|she|somebody|someone)\b|\byou (?:could|would|can|"
    r"may)\b|\b(?:would|will) you\b|"
    r"\b(?:be )?possible\b|\bany (?:chance|way)\b|\bhow (?:(?:can|do|could|would) (?:i|we)|(?:i|we) (?:can|could|may)|to get)\b|"
    r"\b(?:give|pay|owe) (?:me|us)\b|\bentitled\b|\bshould (?:go back|be)\b|\b(?:must|has to|have to|needs? to) be\b|"
    r"\bwould (?:be (?:fine|great|appreciated|enough|ok)|do)\b|\blet (?:me|us) have\b|\bwould be (?:nice|kind)\b",
    r"\bbitte\b|\bkönn(?:en|t|ten|tet) (?:sie|ihr|wir)\b|\bkann (?:ich|man|mir)\b|\bist es möglich\b|\bin ordnung\b|"
    r"\bdringend\b|"
    r"\bwie kann ich\b|\bwäre\w* (?:nett|schön|toll|lieb|dankbar|gut)\b|\bum (?:rück)?erstattung\b",
    r"\bmerci d[e']|\bveuillez\b|\bsvp\b|\bs'il (?:vous|te) pla[iî]t\b|\bprière de\b|\b(?:pouv|pourr|aur|sera?)\w+-(?:vous|tu|"
    r"t-on|il)\b|"
    r"\bpuis-je\b|\bserai[st]? (?:reconnaissant|gentil|obligé)|\bpourrais\b|\bvous (?:pouvez|pourriez|pouviez) (?:me|nous)\b|"
    r"\bcomment (?:puis|faire)\b|\best-(?:il|ce) possible\b",
    r"\bpor favor\b|\b(?:me |nos )?(?:puede[ns]?|podrías?|podrían|pudieran?|podéis|podríais|puedo|podemos)\b|\b(?:es|"
    r"sería) (?:posible|"
    r"suficiente)\b|"
    r"\btengo derecho\b",
    r"\b(?:per|x) (?:favore|cortesia|piacere)\b|\b(?:potete|poteste|potreste|può|potrebbe|posso|potrei|puoi)\b|\b(?:è|"
    r"sarebbe) possibile\b|\bsarei grat\w|\brimborsereste\b",
    r"\b(?:faz|fazem) favor\b|\b(?:podem?|poderiam?|posso|podiam?|pudessem?)\b|\b(?:é|seria) (?:possível|suficiente)\b|"
    r"\bficaria grat\w\b",
    r"ください|下さい|クダサイ|いただけ|頂け|いただきたい|もらえ|可能|返して|返せ|幸いです",
)
"""Words of wanting or politeness."""

NEGATION = any_of(
    r"\b(?:not|no|never|nothing|none|neither|cannot|without(?= (?:a |any )?(?:refund|reimburs)))\b|n't\b",
    r"\b(?:nicht|kein\w*|nie|nichts|niemals)\b|\bohne(?= (?:\w+ )?(?:rück)?erstatt)",
    r"\b(?:pas|rien|jamais|aucun\w*|inutile)\b|\bn(?:e |')[^,.!?\n]{0,40}\bplus\b|\bplus (?:besoin|nécessaire)\b|"
    r"\bne (?=rembours)|\bsans(?= (?:\w+ )?rembours)",
    r"\b(?:nunca|nada|ningún|ninguna|sin(?= (?:\w+ )?(?:reembols|devol)))\b",
    r"\b(?:non|niente|mai|nessun\w*|senza(?= (?:\w+ )?rimbors))\b",
    r"\b(?:não|nem|nenhum\w*|sem(?= (?:\w+ )?(?:reembols|devolu|estorn)))\b",
    r"ませ?ん(?!か|でしょうか)|なく|ない(?!でしょうか|か)|不要|結構です|大丈夫|しないで|ではな",
)
"""Words of negation. The Portuguese "no" is no negation: "no meu cartão"."""

PORTUGUESE_NO = any_of(
    r"\bno (?:meu|minha|seu|nosso|mesmo|dia|site|cartão|valor|prazo|total|entanto|fim|montante|caso)\b"
)

NOT_DENIED = any_of(
    # not all, not only; no later than
    r"\b(?:not|nicht|pas|no|non|não) (?:for )?(?:all|every\w*|only|just|both|the (?:whole|entire|full|rest)|alle\w*|nur|beide|"
    r"tout\w*|seulement|tod[oa]s?|s[oó]lo|tutt\w|solo|tudo|só)\b|\bno (?:later|more|matter|longer wait)\b|\b(?:at all|"
    r"pas mal)\b|"
    r"全部|全額",
    # why not: "why don't you refund me?", "könnten Sie nicht …?"
    r"\bwhy\b|\b(?:can|could|would)(?:n't| not) (?:you|i|we)\b|\bwarum\b|\bpourquoi\b|\bpor qu[eé]\b|\bperché non mi\b|なぜ",
)
"""Clauses with a negation and a refund word that deny no wish."""

NOT_ARRIVED = any_of(
    r"\b(?:receiv\w*|got|get|getting|arriv\w*|appear\w*|credited|com(?:e|ing)|seen|shown|processed|issued|refunded|reimbursed|"
    r"happened)\b",
    r"\b(?:erhalten|bekommen|bekam|angekommen|eingegangen|eingetroffen|gekommen|gesehen|erfolgt|erstattet|da)\b",
    r"\b(?:reçu|arrivé|apparu|vu|remboursée?s?|crédité|effectué)\b",
    r"\b(?:recib\w+|lleg\w+|reembolsad\w+|devuelto|reembolsan|devuelven|devolvieron|abonad\w+)\b",
    r"\b(?:ricev\w+|arrivat\w+|rimborsat\w+|accreditat\w+)\b",
    r"\b(?:receb\w+|cheg\w+|reembolsad\w+|reembolsaram|caiu|creditad\w+)\b",
    r"届|受け取|入金|返金され|返金がない",
)
"""Words of the arrival of money. With a negation they complain that the refund is late, and deny nothing."""

REQUEST_VERBS = any_of(
    r"\b(?:want|wish|need|like|asking|after|claim|expect|require|request)\b|\b(?:möchte|will|brauche|wünsche|benötige|"
    r"verlange|fordere)\b",
    r"\b(?:veux|souhaite|demande|besoin|voudrais|réclame|quiero|deseo|necesito|pido|voglio|desidero|chiedo|vorrei|serve|quero|"
    r"preciso|peço|desejo)\b",
)
"""Words of a wish. If such a word is denied, the refund is denied, even if the refund "has not arrived"."""

CONDITION = any_of(
    r"^\W*(?:(?:and|but|or|so|und|aber|et|y|pero|e|ma|mas) )?(?:if|unless|should|wenn|falls|sollten?|si|se|sin|senza|sans|sem|"
    r"without|"
    r"ohne|sinon)\b|ない場合|なければ|なけれ",
)
"""The beginning of a conditional sentence. "If you don't refund me, …" is a wish with a threat."""

POLITE_CONDITION = any_of(
    r"\b(?:if (?:possible|you (?:can|could|would)|that is|at all)|wenn (?:möglich|es geht)|falls möglich|si (?:possible|"
    r"es posible|vous pouvez)|"
    r"se (?:possibile|possível))\b|可能であれば|よろしければ",
)

REPORT = any_of(
    # a report of an earlier wish, of another person's wish, or of what was said
    r"\b(?:asked|requested|wrote|written|clicked|offer(?:ed|ing)|confirmed|promised|submitted|filed|told|announced|received|"
    r"got|saw|seen|"
    r"read|apologi\w+|thank(?:s| you) for|to ask for|started|initiated|ordered you|had wanted|made)\b",
    r"\b(?:hat|habe|haben|hatten?|wurden?|war|waren|bat|baten|schrieb)\b(?=.*\b(?:gebeten|beantragt|geschrieben|zugesagt|"
    r"bestätigt|verlangt|"
    r"gefordert|angeboten|angestoßen|geklickt|gestellt|versprochen|eingereicht|angekündigt|veranlasst|widerrufen|erhalten|"
    r"bekommen)\b)|"
    r"\b(?:bat|baten|schrieb)\b|\b(?:zugesagt|bestätigt|beantragt)\w* (?:rück)?erstatt",
    r"\b(?:ai|as|a|avez|avons|ont|avais|avait|aviez)\b(?: \w+)? (?:demandé|écrit|sollicité|reçu|cliqué|proposé|confirmé|"
    r"promis|fait|obtenu|"
    r"annoncé|accepté|envoyé)\b|\bj'ai vu\b",
    r"\b(?:ped[ií]|pidió|pidieron|pidiendo|solicit[éó]|solicitaron|escrib[ií]|recib[íi]|recibió|ofrecieron|confirmaron|"
    r"prometieron|hice|hizo|"
    r"(?:he|ha|han|hemos|había\w*) (?:\w+ )?(?:pedido|solicitado|recibido|hecho|escrito|confirmado|prometido))(?!\w)",
    r"\b(?:ho|hai|ha|hanno|avete|abbiamo|avev\w+)(?: \w+)? (?:chiesto|richiesto|scritto|ricevuto|cliccato|fatto|confermato|"
    r"promesso|inviato|"
    r"detto|visto)\b",
    r"\b(?:pedi|pediu|solicitei|solicitou|escrevi|recebi|cliquei|fiz|fez|prometeram|confirmaram|ofereceram|disseram|enviei)\b",
)
"""Words before a refund word with which the clause reports what has happened."""

REPORT_BEHIND = any_of(
    r"(?:お願い|依頼|申請|申し込み|受け取り|受領|確認|頂き|いただき|頼み|しており|届き)(?:し)?(?:ました|まし[たて]|"
    r"ていました)|受け取りました|と言われ|のお知らせ|間違い|されました|完了",
    r"\b(?:arriv(?:ed|é|ée|ato|ata|ou)|(?:an|ein)gekommen|eingegangen|llegó|chegou|caiu|apparaît|appears?|appeared|"
    r"erschienen)\b",
    r"\b(?:gebeten|beantragt|zugesagt|bestätigt|angestoßen|veranlasst)\b|\bse hizo\b|\b(?:goes|went|was|were) (?:to|a|by|made|"
    r"more|not)\b",
    r"\b(?:war|waren|was|were|era|erano|foi|était) (?:\w+ )?(?:ein|a|an|un|una|um|voreilig|versehen|mistake|erreur|error|"
    r"errore|engano|premature)\b",
)
"""Words behind a refund word with which the clause reports what has happened."""

DONE_REFUNDS = any_of(
    r"\b(?:you|they|we|has|have|had|having|was|were|been)(?: (?:already|just|also|been|never|not|n't|fully|kindly))* "
    r"(?:refunded|reimbursed|cancelled|canceled)\b|\brefund (?:you|they) (?:made|sent|issued)\b",
    r"\b(?:rück)?(?:erstattet|storniert|überwiesen|zurückgezahlt|zurücküberwiesen) (?:haben|hat|habt|hatten|worden|wurden?|"
    r"bekommen|war)\b|"
    r"\b(?:haben|habt|hat|hatten|wurden?|worden|ist|sind|war)\b[^.!?\n,;]{0,40}\b(?:rück)?(?:erstattet|storniert|"
    r"zurückgezahlt)\b",
    r"\b(?:avez|as|a|ont|avons|ai|été)(?: \w+)? (?:rembours|annul)ée?s?\b",
    r"\b(?:he|has|ha|han|hemos|habéis|había\w*|fue|fui)(?: (?:sido|\w{1,10}))? (?:reembolsad|devuelt|cancelad|anulad)\w+|"
    r"\breembols(?:ó|aron|asteis)(?!\w)|\bdevolv(?:ió|ieron)(?!\w)",
    r"\b(?:ho|hai|ha|hanno|avete|abbiamo|avevate|stat[oaie])(?: già)? (?:rimborsat|restituit|annullat)\w",
    r"\b(?:foi|fui|foram|já|tinha\w*|tem|têm)(?: \w+)? (?:reembolsad|devolvid|estornad|cancelad)\w+|"
    r"\b(?:reembols|estorn|cancel)(?:aram|ou|ei)\b|\bdevolveram\b",
    r"返金(?:して|を|は)?(?:いただき|頂き)ました|返金(?:済み?|完了|対象|のお知らせ)|返金され(?!ない場合|なければ)",
    r"\b(?:erfolgte|geleistete|ausgezahlte|durchgeführte|erhaltene)n? (?:rück)?(?:erstattung|zahlung)|"
    r"\brefund (?:already )?(?:made|received)\b",
    r"\bremboursement (?:déjà )?(?:effectué|reçu)\b|\b(?:reembolso|devolución) (?:ya )?(?:realizad|efectuad|recibid|hech)[oa]\b",
    r"\brimborso (?:già )?(?:effettuato|avvenuto|ricevuto)\b|\b(?:reembolso|estorno) (?:já )?(?:efetuado|realizado|feito|"
    r"recebido)\b",
)
"""Refunds that were made or refused already."""

INTERROGATIVE = any_of(
    r"\b(?:when|whether|where|why|how (?:long|much|many|is|to(?! get))|what(?! i want| we want)|which|if)\b",
    r"\b(?:wann|wo|ob|warum|wieso|wie (?:lange|viel|ist|hoch)|welche\w*|was)\b",
    r"\b(?:quand|où|pourquoi|combien|quel\w*|si|comment(?! puis| faire))(?!\w)",
    r"\b(?:cuándo|dónde|por qué|cuánt\w+|qué|cuál|si)(?!\w)|\b(?:quando|dove|quant[oiae]|quale|come mai|se)\b",
    r"\b(?:onde|porque é que|por que|qual)\b|いつ|どこ|かどうか|どのくらい|どうなって|何",
    # news about the refund: "I want to let you know that the refund has arrived"
    r"\b(?:let(?:ting)? (?:you|me) know|tell(?:ing)? (?:you|me)|inform(?:ing)? (?:you|me)|bescheid|mitteilen|mitzuteilen|"
    r"informieren|"
    r"vous (?:informe\w*|signale\w*)|informarl\w+|comunicarl\w+|decirl\w+|informarvi|comunicarvi|segnalarvi|dirvi|avisar|"
    r"informar)\b|"
    r"お知らせ|ご報告",
    # a thing about the refund: "the status of my refund"
    r"\b(?:status|stat[eo]|estado|progress|update|proof|receipt|confirmation|certificate|question|information|rules|news)\b",
    r"\b(?:stand|beleg|nachweis|bestätigung|frage|unterschied|difference between|état|suivi|justificatif|attestation|"
    r"justificante|comprobante|"
    r"stato|ricevuta|ricevuta di|situação|andamento|comprovativo)\b|状況|進捗|証明",
)
"""Words between a wanting word and a refund word with which the sentence asks about the refund, not for the refund."""

BARE_REFUND = any_of(
    r"^(?:\[[^\]]{0,60}\])?\W*(?:(?:full|complete|total|immediate|request(?:ing)?|for|of|an?|the|re|just|so|now|then|and|hi|"
    r"hello|dear|sirs?|hallo|und|also|dann|"
    r"voll\w*|komplett\w*|antrag|auf|demande|solicitud|richiesta|pedido|petición|de|di|du|le|el|il|o|un|et|y|e|d'|um|"
    r"simply|money|both|everything|REF|message|nachricht|mensaje|messaggio|mensagem|body|text|wunsch|"
    r"anliegen)\W+){0,6}(?:rück)?$",
    r"^[\W\d]*(?:REF)?(?:の件?|について)?[、:\s]*(?:全額|全て|ご)?の?$",
)
"""The beginning of a clause before a bare refund word, such as "Full refund", "Geld zurück für"."""

STATEMENT = any_of(
    r"^\w*(?: [^\s.,]+){0,3} (?:is|was|are|were|has|have|had|will|would|does|did|shows?|ist|war|wurde|wird|hat|kam|soll|est|a|"
    r"sera|était|"
    r"es|fue|será|ha|ya|è|sarà|foi|já|será|apparaît)\b|^\S{0,6}[はが]|^(?:の件|について)[、は]",
)
"""The words behind a refund word that make a statement about the refund."""
