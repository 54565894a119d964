"""Patterns that tell a wish for a refund from other mails about a purchase, in seven languages."""

from producers.mail.reason_patterns import any_of

REFUND_WORDS = any_of(
    r"\brefund|\bmoney[ -]back\b|\breimburs|\bcharge ?back\b|\bpay me back\b|\bgive (?:me )?back\b|"
    r"\bpay\b[^.!?\n]{0,25}\bback\b|\breturn what\b|\bmy money\b",
    r"\b(?:return|want|give|get|have)\b[^.!?\n]{0,25}\b(?:money|payment|amount)\b[^.!?\n]{0,20}\b(?:back|returned)\b",
    r"\breturn\b[^.!?\n]{0,25}\b(?:money|payment|amount|purchase|product|item|order|licen[cs]e|program|software|it)\b",
    r"\b(?:get|want|have|give)\b[^.!?\n]{0,40}\bback\b|\bwithdraw\w* from\b",
    r"\bwithdraw\b[^.!?\n]{0,20}\b(?:purchase|contract)\b",
    r"\bcancel\w*\b[^.!?\n]{0,40}\b(?:order|purchase)\b|\breverse\b[^.!?\n]{0,20}\b(?:charge|payment)",
    r"erstatt(?:e|et|en|ung|bar)|\brückzahl\w*|\bgeld[- ]zurück|\bgeld\b[^.!?\n]{0,30}\b(?:zurück|wieder)|\bzurückzahl",
    r"\b(?:euro|eur|€|betrag|kaufpreis)\b[^.!?\n]{0,20}\bzurück\b",
    r"widerruf|widerrufe\b|\bstornier\w*|\bstorno|\brückgabe\b|\bzurück(?:geben|treten|überweisen)\b|\brückabwick",
    r"\btrete\b[^.!?\n]{0,40}\bzurück\b",
    r"\brembours|\brétract|\bannul(?:er|ation|ez|ée?)\b|\b(?:rendre|récupérer|rendez)\b[^.!?\n]{0,15}\bargent\b",
    r"\brenonce\b[^.!?\n]{0,20}\bachat",
    r"\bre[ei]mbols|\bdevol(?:uci[oó]n|v)|\bdevu[eé]lv|\bdesist(?:o|imos|ir|imiento|ência)\b|\breintegr|\banular\b",
    r"\brimbors|\brecesso\b|\breced(?:ere|o|iamo)\b|\brestitu|\bindietro\b[^.!?\n]{0,15}\b(?:soldi|euro)\b|\bsoldi indietro\b",
    r"\bannullar",
    r"\bdevolu|\bestorn|\barrepend|\b(?:dinheiro|quero) de volta\b|\bcancelar\b|\bcancelamento\b|\blivre resolução\b",
    r"\bresolv(?:o|emos) (?:d?o|\(\*\)|do)\b",
    r"返金|払い?戻|返品|キャンセル|解約|取り消|クーリング[・ ]?オフ|お金を返|(?:契約|申込み?)[^。\n]{0,6}(?:撤回|解除)",
)
"""Words for a refund, a return, a cancellation or a withdrawal."""

_CLAUSE = r"(?:^|[.!?\n,;:]\s?|\b(?:please|kindly|just|can you|could you|you can|you may|i|we|to|hereby|bitte|so|but) )"
"""The beginning of a clause that asks for something, such as "please"."""

_REQUEST = r"(?:refund|request|e-?mails?|message|claim|inquiry|enquiry|cancellation)"

TAKEN_BACK = any_of(
    # the customer wants nothing to be done
    r"(?:^|[.!?\n,;:]\s?|\bplease |\bbut |\bso )(?:do not|don't|never) (?:please )?(?:process|issue|pay|proceed|do|send|act)\b",
    r"\bbitte (?:\w+ ){0,4}(?:nicht|nichts)\b[^.!?\n,;]{0,20}(?:bearbeiten|durchführen|auszahlen|veranlassen|unternehmen|"
    r"machen)\b",
    r"\bne (?:traitez|faites|procédez|donnez)\b[^.!?\n,;]{0,12}\b(?:pas|rien)\b|\bno (?:procesen|tramiten|hagan|procedan)\b",
    r"\bnon (?:procedete|fate|elaborate)\b|\bnão (?:processem|façam|avancem|procedam)\b|(?:処理|手続き)を?(?:し|進め)ないで",
    # the customer takes the wish back: "please ignore my request", "I keep it"
    rf"{_CLAUSE}(?:ignore|disregard|forget|cancel|withdraw|retract|revoke|drop|close|take back|scrap|stop)\s(?:about\s)?(?:my|"
    rf"the|this|that|our)\s"
    rf"(?:(?!and\b|order\b|purchase\b|subscription\b|contract\b)[\w-]+\s){{0,3}}{_REQUEST}\b|\bnever ?mind\b",
    r"\bchanged my mind\b[^.!?\n]{0,20}\b(?:about|regarding|on) (?:the|my|a) (?:refund|cancel\w*|return|request)",
    r"(?<!n't )(?<!not )\b(?:want|decided|like|going|prefer|happy|will|shall|'ll|i'd rather) (?:to )?keep (?:it|"
    r"the (?:program|software|product|order|purchase|app))\b",
    r"\b(?:anfrage|antrag|erstattungs\w+|e-?mail|mail|nachricht|wunsch)\b[^.!?\n]{0,30}\b(?:zurückziehen|zurückzunehmen|"
    r"zurücknehmen|ignorieren|hinfällig|"
    r"gegenstandslos|vergessen)|\bignorieren sie\b|\bhat sich (?:\w{1,15} )?erledigt\b|\bvergessen sie\b",
    r"\b(?:ziehe|nehme)\b[^.!?\n]{0,40}(?:antrag|anfrage|widerruf|wunsch|erstattung\w*|bitte|mail)\b[^.!?\n]{0,20}\bzurück\b",
    r"\bwiderrufe (?:ich )?(?:hiermit )?mein\w* (?:antrag|anfrage|erstattung\w*|mail)|\b(?:doch|lieber|gern\w*) behalten\b",
    r"\bbehalte (?:es|das programm|sie|die software|ihn) (?:doch|lieber)",
    r"\b(?:ignore[rz]|annule[rz]?|retire[rz]?|oublie[rz]|pas tenir compte de|tenez pas compte de)\s(?:ma|mon|cette|ce|la|le)\s"
    r"(?:demande|message|mail|courriel|remboursement|requête)|\b(?:souhaite|veux|"
    r"préfère) (?:finalement )?(?:le |la )garder\b",
    r"\b(?:ignor\w{1,5}|anul\w{1,5}|cancel\w{1,5}|retir\w{1,5}|olvid\w{1,5}|no tengan? en cuenta)\s(?:a\s)?(?:mi|el|la|esta|"
    r"este)\s"
    r"(?:solicitud|petición|mensaje|correo|reembolso|devolución)|(?<!no )\b(?:prefiero|quiero) (?:quedármel[oa]|quedarme con|"
    r"conservar)",
    r"\b(?:ignor\w{1,5}|annull\w{1,5}|ritir\w{1,5}|dimenticat\w?|non consider\w{1,5})\s(?:la |il )?(?:mi[ao]|la|il|questa|"
    r"questo)\s"
    r"(?:richiesta|domanda|messaggio|mail|e-?mail|rimborso)|(?<!non )\b(?:preferisco|vorrei|voglio) (?:tenerl[oa]|"
    r"conservarl[oa])",
    r"\b(?:ignor\w{1,5}|anul\w{1,5}|cancel\w{1,5}|retir\w{1,5}|esqueç\w{1,5}|desconsider\w{1,5})\s(?:o |a )?(?:meu|minha|o|a|"
    r"este|esta|esse)\s"
    r"(?:pedido de (?:reembolso|devolução|estorno)|solicitação|mensagem|e-?mail|reembolso|estorno)|(?<!não )\b(?:prefiro|"
    r"quero|vou) ficar com (?:o|a|ele|ela)\b",
    r"(?:申請|依頼|請求|リクエスト|メール|返金)(?:を|は|の件は?|について(?:は)?)?[^。\n]{0,10}(?:取り下げ|取下げ|撤回|無視|"
    r"忘れて|破棄)|返金(?:依頼|申請|請求)?を?取り消|"
    r"(?:やはり|このまま)[^。\n]{0,8}使(?:い|う|用)",
    r"\b(?:put|hold|pause|suspend|undo|block|postpone|revert)\b[^.!?\n]{0,25}\brefund\b|\brefund\b[^.!?\n]{0,25}\bon hold\b|"
    r"\b(?:stoppen|stornieren|brechen|buchen|löschen|verwerfen|vergessen) sie\b[^.!?\n]{0,20}"
    r"(?:erstattung|anfrage|antrag|mail|nachricht|widerruf\b)|返金(?:の)?(?:申請|依頼|手続き)?を?(?:キャンセル|中止)",
    # a mail program recalls a mail, or reports a reaction
    r"\brecall the message\b|^\s?(?:recall|rückruf|rappel|recuperar|richiam\w+|revogar)\s?[:：]",
    r"\bnachricht\b[^\n]{0,200}\bzurückrufen\b|\brappeler le message\b",
    r"\brecuperar (?:el mensaje|a mensagem)\b|\brichiamare il messaggio\b",
    r"メッセージ[^。\n]{0,60}(?:を取り消|の取り消し|を呼び戻)",
    r"\breacted (?:to|via|with)\b|\b(?:liked|loved|laughed at|emphasi[sz]ed|disliked|questioned|likes?) [\"“”„«‘'「]",
    r"\breagiert(?:e)? (?:auf|mit|über)\b|\bhat (?:auf )?[^.!?\n]{0,60}\breagiert\b",
    r"\bgefällt [\"“„«]|\ba réagi\b|\ba aimé [\"“«]|\bha reaccionado\b|\breaccionó\b|\bgusta [\"“«]|\bha reagito\b",
    r"\bmi piace a [\"“«]|\bpiac\w+ [\"“«]|\breagiu\b|\bgostou de [\"“«]",
    r"リアクション|いいね",
)
"""Words with which the customer takes a wish for a refund back. Such a mail is never a request.

A comment names the kind of the patterns below it.
"""

_NO_CONTRACT = (
    r"(?:consent|newsletter|marketing|direct debit|mandate?s?|authori[sz]ation|account access|access to|einwilligung\w*|"
    r"einverständnis\w*|"
    r"zustimmung|lastschrift\w*|\w*mandat\w*|vollmacht|zugangs?|consentement|prélèvement|lettre d'information|autorisation|"
    r"consentimiento|mandato|domiciliación|boletín|autorización|consenso|autorizzazione|delega|consentimento|débito direto|"
    r"autorização|同意|メルマガ|口座振替|配信)"
)
"""Something that can be withdrawn or cancelled, but is no contract, such as a mandate for direct debits."""

WITHDRAWALS = any_of(
    # the right and its use, in any order
    *(
        rf"{right}[^.!?\n]{{0,60}}{use}|{use}[^.!?\n]{{0,60}}{right}"
        for right, use in (
            (
                r"\b(?:right (?:of|to) (?:withdraw\w*|cancel\w*)|cooling[- ]off (?:period|right)\w*)\b",
                (
                    r"\b(?:exercis\w+|mak(?:e|ing) use|us(?:e|ing) (?:my|our)|invok\w+|rely\w*|cancelling (?:my|the|our)|"
                    r"i cancel)\b"
                ),
            ),
            (
                r"\b(?:widerrufsrecht\w*|rücktrittsrecht\w*|recht (?:auf|zum) widerruf)\b",
                r"\b(?:gebrauch|nutze\w*|mache\w*|ausüb\w*|auszuüben|übe|wahrnehm\w*|wahrzunehmen|nehme|geltend|berufe\w*)\b",
            ),
            (
                r"\bdroit (?:légal )?de rétractation\b",
                r"\b(?:exerc\w+|us(?:e|er|ons)|valoir|invoqu\w+|recour\w+|prévau\w+)\b",
            ),
            (
                r"\b(?:desistimiento|derecho a desistir)\b",
                r"\b(?:ejer[zc]\w+|acoj\w+|acog\w+|uso|usar|invoc\w+|comunic\w+)\b",
            ),
            (
                r"\b(?:recesso|diritto di recedere)\b",
                r"\b(?:eserci\w+|avval\w+|usufru\w+|valere|uso|notific\w+|comunic\w+)\b",
            ),
            (
                r"\b(?:livre resolução|arrependimento|direito de (?:resolução|desistência))\b",
                r"\b(?:exer[cç]\w+|uso|usar|invoc\w+|valer|recorr\w+|comunic\w+)\b",
            ),
            (r"クーリング[・ ]?オフ", r"(?:通知|行使|手続|申請|申し込|希望|お願い|適用|利用し)"),
        )
    ),
    # the declaration itself
    r"\b(?:i|we)\b[^.!?\n]{0,40}\bwithdraw(?:ing)? from\b|\bnotice (?:of|that)[^.!?\n]{0,30}\b(?:withdraw|cancel)",
    r"\b(?:i|we)\b[^.!?\n]{0,20}\b(?:cancel|cancelling|revoke|rescind) (?:my|our|the|this) (?:\w+ )?contract\b",
    r"\bhiermit\b[^.!?\n]{0,30}\bwiderruf|\bwiderruf(?:e|en)\b[^.!?\n]{0,60}(?:vertrag|bestellung|kauf|auftrag|abo)",
    r"(?:vertrag|bestellung|kauf|auftrag|abo)\w*\b[^.!?\n]{0,60}\bwiderruf(?:e|en)\b",
    r"\bwiderruf (?:meine[rs]|unsere[rs]|de[sr]) (?:bestellung|vertrag|kauf|auftrag)|\b(?:erkläre|"
    r"erklären)\b[^.!?\n]{0,40}\bwiderruf\b",
    r"\btrete\b[^.!?\n]{0,40}vertrag[^.!?\n]{0,20}\bzurück\b",
    r"\b(?:me|nous) rétract(?:e|ons|er)\b|\b(?:notifi|inform)\w+\b[^.!?\n]{0,60}\brétract",
    r"\bdesist(?:o|imos|ir) (?:de|del)\b|\breced(?:o|iamo|ere) (?:dal|da)\b|\brecedo\b",
    r"\bresolv(?:o|emos)\b[^.!?\n]{0,40}\bcontrato|\barrepend(?:o|er|emos)-(?:me|nos)\b|\bdesist(?:o|imos) d[oa]\b",
    r"クーリング[・ ]?オフ(?:し|いた)|契約[^。\n]{0,10}(?:撤回|解除)(?:し|いた|を(?:通知|申し))",
)
"""A declaration of withdrawal, also the model form of Directive 2011/83/EU. A question about the right is no declaration."""

NO_WITHDRAWALS = any_of(_NO_CONTRACT)
"""The objects of declarations that withdraw from no contract."""

_ENDED = (
    r"\b(?:widerruf\w*|withdraw\w*|cancel\w*|storn\w*|revok\w*|révoqu\w*|retir\w*|annul\w*|anul\w*|revoc\w*|ritir\w*)\b"
)

REFUND_TOPICS = any_of(
    # the end of something that is no contract
    rf"{_ENDED}[^.!?\n]{{0,60}}\b{_NO_CONTRACT}|\b{_NO_CONTRACT}[^.!?\n]{{0,60}}{_ENDED}",
    # the status of a refund: "when will I get my refund?"
    r"\bwhen\b[^.!?\n]{0,30}\b(?:refund\w*|money back)",
    r"\brefundable\b|\bconfirm\b[^.!?\n]{0,25}\brefund\b[^.!?\n]{0,25}\b(?:processed|made|issued|sent)",
    # a refund that has arrived: "thanks for the refund"
    r"\b(?:thanks?|thank you|danke|dank|merci|gracias|grazie|obrigad[oa])\b[^.!?\n,]{0,20}\b(?:for|für|pour|por|per|pelo|"
    r"pela)\b"
    r"[^.!?\n,]{0,20}(?:refund|erstatt|rembours|reembols|devol|rimbors|estorn)\w*",
    r"\b(?:got|received)\b[^.!?\n]{0,15}\b(?:refund|money(?: back)?)\b|\bgeld\b[^.!?\n]{0,40}\b(?:angekommen|eingegangen)",
    r"返金(?:を|の)?[^。\n]{0,6}ありがとう",
    # an exchange: "a replacement instead of a refund"
    r"\b(?:instead of|rather than|in place of)\b[^.!?\n]{0,15}\b(?:refund\w*|money back)",
    r"\b(?:statt|anstelle|anstatt)\b[^.!?\n]{0,20}(?:erstattung|rückzahlung|geld zurück)",
    r"\b(?:au lieu|plutôt)\b[^.!?\n]{0,15}rembours\w*|\ben (?:lugar|vez) de[^.!?\n]{0,15}(?:reembols|devol)\w*",
    r"\b(?:invece|al posto)\b[^.!?\n]{0,15}rimbors\w*|\bem vez de[^.!?\n]{0,15}(?:reembols|devolu|estorn)\w*",
    # the end of a subscription
    r"\bannul\w*\b[^.!?\n]{0,20}\b(?:abonnement|renouvellement)",
    r"\b(?:anular|cancelar|cancelamento|annullare)\b[^.!?\n]{0,25}\b(?:suscripción|assinatura|subscrição|abbonamento|"
    r"renova\w+|rinnovo)",
    r"(?:サブスク(?:リプション)?|自動更新|自動継続|定期購入|次回)[^。\n]{0,10}(?:キャンセル|解約|取り消)|解約(?:したい|"
    r"を?お?願|します|手続)",
    r"\bstorn\w*[^.!?\n]{0,20}\b(?:abo|abonnement|verlängerung)\b",
    # the rules: "what is your refund policy?"
    r"\brefunds? (?:polic|certificat|button|confirm|receipt|status|period|rule|term|condition|department|team|form|page|"
    r"not(?:e|ice)|"
    r"date|letter|mail)\w*|\bdo you (?:offer|give|have)\b[^.!?\n]{0,20}refund\w*|widerrufsbelehrung|\brückgaberecht",
    r"widerrufsfrist|politique de remboursement",
    r"política de (?:reembolsos?|devoluci\w+|devolução)|politica di rimborso|返金(?:ポリシー|規定|条件)",
)
"""Words that speak of a refund or of an end, but do not ask for a refund."""

OTHER_INTENTS = any_of(
    # the licence key again
    r"\b(?:re-?send|send|need|lost|give|forward|find|missing)\b[^.!?\n]{0,40}\b(?:key|codes?|download(?: link)?|"
    r"licen[cs]e (?:file|number))\b",
    r"\b(?:schick\w*|send\w*|zusenden|brauche|verloren|finde)\b[^.!?\n]{0,40}(?:schlüssel|lizenz\w*|code|key|download\w*)\b",
    r"(?:schlüssel|lizenz\w*|code)\b[^.!?\n]{0,40}\b(?:schick\w*|send\w*|zusend\w*|verloren|verlegt)",
    r"\b(?:r?envo\w+|perdu|besoin|retrouve\w*)\b[^.!?\n]{0,40}\b(?:clé|code|licence|lien)\b",
    r"\b(?:envi\w+|reenvi\w+|perdido|necesito|encuentro|mand\w+)\b[^.!?\n]{0,40}\b(?:clave|código|licencia|enlace)",
    r"\b(?:invi\w+|reinvi\w+|mand\w+|rimand\w+|perso|trovo|serve)\b[^.!?\n]{0,40}\b(?:chiave|codice|licenza|link)",
    r"\b(?:envi\w+|reenvi\w+|mand\w+|perdi|preciso|encontro)\b[^.!?\n]{0,40}\b(?:chave|código|licença|link)",
    r"(?:キー|コード|ライセンス|ダウンロード)[^。\n]{0,20}(?:再送|送って|送付|なくし|紛失|教えて)|再送",
    r"\b(?:send|forward) (?:it|them|this) again\b|\b(?:nochmals?|erneut) (?:zu)?(?:schicken|senden)\b|\bde nouveau\b",
    r"\bde nuevo\b|\bdi nuovo\b|\bde novo\b",
    # the invoice
    r"\b(?:send|need|copy|require|missing|download|correct|change|issue|provide|want|get|have)\b[^.!?\n]{0,40}\b(?:invoice|"
    r"receipt|bill)\b",
    r"(?:schick|send|brauche|benötig|ausstell|kopie)\w*\b[^.!?\n]{0,40}\brechnung",
    r"\brechnung\w*\b[^.!?\n]{0,40}(?:schick|send|ausstell|korrig|änder|fehlt)",
    r"\b(?:envo\w+|besoin|recevoir|obtenir|copie|duplicata)\b[^.!?\n]{0,40}\bfacture",
    r"\b(?:env[ií]\w+|necesit\w+|copia|mand\w+)\b[^.!?\n]{0,40}\bfactura",
    r"\b(?:invi\w+|mand\w+|serve|bisogno|copia)\b[^.!?\n]{0,40}\bfattura",
    r"\b(?:envi\w+|mand\w+|precis\w+|cópia|segunda via)\b[^.!?\n]{0,40}\b(?:fatura|nota fiscal)",
    r"(?:請求書|領収書)[^。\n]{0,20}(?:送|発行|ください|お願い|再)",
    # the end of a subscription
    r"\b(?:cancel|end|stop|terminate)\b[^.!?\n]{0,40}\b(?:subscription|renewal|auto-?renew\w*|plan|membership|account)\b",
    r"\bkündige\b|\bkündigen\b|\bkündigung (?:meines|des|bestätig|zum)|\brésili(?:er|ation|e)\b",
    r"\bannul\w*\b[^.!?\n]{0,20}\b(?:abonnement|renouvellement)|\bdar(?:me)? de baja\b",
    r"\b(?:anular|cancelar|annullare)\b[^.!?\n]{0,25}\b(?:suscripción|assinatura|subscrição|abbonamento|renova\w+|rinnovo)",
    r"\bdisdi(?:re|co|tta)\b|解約",
    r"(?:サブスク(?:リプション)?|自動更新|自動継続|定期購入|次回)[^。\n]{0,10}(?:停止|止め|キャンセル)",
    # an exchange
    r"\b(?:exchange|swap|replace\w*|switch|upgrade)\b|\bumtausch\w*|\b(?:um|ein)?tauschen\b|\béchang\w+|\bremplac\w+",
    r"\bcambi(?:ar|arlo|o)\b|\bsostitu\w+|\bscambi\w+|\btroca(?:r)?\b|\bsubstitu\w+|交換",
    # a status, or help
    r"\b(?:status|progress|update|news) (?:of|on|about)\b|\b(?:wie ist der stand|stand meiner|status)\b|\boù en est\b",
    r"\bestado de\b|\ba che punto\b|\bem que ponto\b|状況|進捗",
    r"\bhow (?:can|do|could|should) (?:i|we)\b|\b(?:can|could) you (?:please )?help\b|\b(?:please|need) (?:\w+ )?help\b",
    r"\bwie kann ich\b|\b(?:mir|uns) (?:\w+ )?helfen\b|\bhilfe\b|\bcomment (?:puis|faire|je)\b|\bm'aider\b",
    r"\bayud\w+|\bcómo puedo\b|\baiut\w+|\bcome posso\b|\bajud\w+|\bcomo posso\b|どうすれば|教えてください|助けて",
)
"""Words for another wish than a refund. With such a wish, a complaint alone asks for no refund."""
