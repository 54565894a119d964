"""Patterns of what support must read besides the request, in seven languages. A mail with a match is flagged."""

from producers.mail.reason_patterns import any_of

_DAY = (
    r"(?:(?:the|next|this|coming|end of|zum|kommenden?|nächsten?|diesen?|ende|le|la fin|fin|el|la|il|la fine|o|a|ao|dia|"
    r"próxim[oa]|"
    r"prochain|fine|final d[eo]|fim d[eo])\s){0,3}(?:\d|(?:mon|tues?|wed|thu|fri|satu?|sun|jan|feb|mar|apr|may|mai|june?|"
    r"july?|aug|"
    r"sept?|o[ck]t|nov|de[cz])(?:day|sday|nesday|rsday|rday|uary|ruary|ch|il|ust|ember|tember|ober|uar|zo|ço|embre|bre|embro|"
    r"bro)?\b|"
    r"tomorrow|noon|month|week|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|morgen\b|monat|woche|"
    r"lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|demain|semaine|mois\b|lunes|martes|miércoles|jueves|viernes|sábado|"
    r"domingo|"
    r"mañana|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica|domani|mese\b|settimana|(?:segunda|terça|quarta|quinta|"
    r"sexta)\b|amanhã|mês|semana)"
)
"""A day, for example after "by"."""

CONCERNS = any_of(
    # a lawyer, a court or the police
    r"\blawyers?\b|\battorneys?\b|\bsolicitors?\b|\blegal\b|\blaw firm\b|\b(?:sue|suing) (?:you|them)\b|\b(?:small claims|"
    r"court)\b|\bpolice\b",
    r"anwalt|anwält|rechtsbeistand|rechtliche schritte|\bjuristisch\w*|\bgericht(?:lich\w*)?\b|\bmahnbescheid|\bverklage|"
    r"\bpolizei\b|"
    r"\bstrafanzeige|\bmahnung\b|\bletztmalig",
    r"\bavocate?\b|\btribunal\b|\bmise en demeure\b|\b(?:porter|porte) plainte|\bjusti[cç][ea]\b|\bhuissier\b|\bpolice\b|"
    r"\bgendarmerie",
    r"\babogad[oa]\b|\bdemanda(?:ré|r)\b|\bdenunci\w+|\bacciones (?:legales|judiciales)\b|\bjuzgado|\bpolicía\b|\bvía judicial",
    r"\bavvocat[oa]\b|\bvie legali\b|\blegale\b|\bdiffida\b|\bgiudice\b|\bquerela\b|\bpolizia\b|\bcarabinieri",
    r"\badvogad[oa]\b|\bações? judicia\w+|\bjudicia(?:l|lmente|is)\b|\bpolícia\b|\btribunais\b",
    r"弁護士|訴え|訴訟|裁判|法的|警察|内容証明",
    # a threat
    r"\b(?:otherwise|or else|failing (?:that|which))\b|\b(?:ansonsten|andernfalls|sonst)\b|\b(?:sinon|faute de quoi|à défaut)\b",
    r"\b(?:de lo contrario|si no,|altrimenti|in caso contrario|caso contrário|senão)|さもなければ|さもないと",
    r"\b(?:report|expose) you\b|\b(?:one[- ]star|bad|negative) review|\bschlechte bewertung|\bmauvais avis\b|"
    r"\bfinal (?:notice|warning)\b",
    # a deadline
    rf"\b(?:by|until|no later than|not later than) {_DAY}|\bbis (?:spätestens )?{_DAY}|\b(?:avant|d'ici|jusqu'au) {_DAY}",
    rf"\b(?:antes del?|hasta|para) {_DAY}|\bentro {_DAY}|\baté {_DAY}|までに|期限|\bdeadline\b",
    r"\b(?:within|in) (?:the next )?(?:\w+ )?(?:days|hours|weeks?)\b[^.!?\n]{0,40}\bor\b|\bfrist\b|\bfristsetzung|"
    r"\binnerhalb (?:von|der)\b|"
    r"\bbinnen\b",
    r"\bdélai de\b|\bdans un délai|\bsous (?:\w+aine|\w+ (?:jours|heures))\b|\bplazo\b|\ben \d+ (?:días|horas)\b|"
    r"\bentro (?:\w+ )?giorni|"
    r"\bprazo\b|\bultimatum",
    # a complaint to an authority or a consumers' organisation
    r"\bconsumer (?:protection|rights|affairs|advice|council)|\btrading standards\b|\bombuds\w+|\bbetter business\b|"
    r"\bwatchdog\b",
    r"\bverbraucher(?:zentrale|schutz)|\bschlichtung\w*|\bmédiateur|\bdgccrf\b|\bsignal ?conso|\bdirection de la consommation|"
    r"\bassociation de consommateurs",
    r"\bocu\b|\bfacua\b|\bhojas? de reclamaci\w+|\b(?:oficina|defensa|protección) (?:del|de los|al) consumidor\w*|\bconsumo\b|"
    r"\breclamaci[oó]n(?:es)?\b",
    r"\baltroconsumo\b|\bcodacons\b|\bantitrust\b|\bassociazione (?:dei )?consumatori|\bprocon\b|\breclame aqui\b|"
    r"\blivro de reclamações|\bdefesa do consumidor|\bdeco\b|消費(?:者)?センター|消費生活|国民生活",
    # a chargeback
    r"\bcharge ?backs?\b|\bdisput(?:e|ing|ed)\b|\bcontest(?:ing)?\b|\bopen(?:ed|ing)? a (?:case|claim)\b|\bbuyer protection\b|"
    r"\b(?:my|the) (?:bank|card (?:issuer|company)|credit card company)\b|\bpaypal case\b",
    r"\brückbuch\w+|\brücklastschrift|\b(?:mein\w*|der) bank\b|\bzurückbuchen|\bkäuferschutz|\bwiderspreche der (?:abbuchung|"
    r"lastschrift)",
    r"\b(?:ma|la) banque\b|\bopposition\b|\bm'oppose|\bcontest(?:er|e|erai)\b|\brétrofacturation|\blitige\b",
    r"\b(?:mi|el) banco\b|\bcontracargo|\bimpugn\w+|\bdisputa\w*|\b(?:mia|la|dalla|alla) banca\b|\bcontesta\w+|"
    r"\bstorno (?:bancario|della carta)",
    r"\b(?:meu|o) banco\b|\bestorno (?:no|pelo) (?:banco|cartão)|チャージバック|カード会社|銀行に|異議",
    # erasure of data, and access to data
    r"\b(?:delete|erase|remove|wipe)\b[^.!?\n]{0,30}\b(?:data|account|information|details|everything)\b|\bgdpr\b|"
    r"\bdata protection\b|"
    r"\bforgotten\b|\bsubject access\b|\bdata you (?:hold|have|store)|\bright of access\b",
    r"\b(?:daten|konto|kundenkonto|zugang|alles)\b[^.!?\n]{0,30}\b(?:lösch\w+)|\blösch\w+\b[^.!?\n]{0,30}\b(?:daten|konto|"
    r"alles)|\bdsgvo\b|"
    r"\bdatenauskunft|\bauskunft\b[^.!?\n]{0,30}\bdaten|\bdatenschutz",
    r"\brgpd\b|\b(?:supprim|effac)\w+\b[^.!?\n]{0,40}\b(?:données|compte|informations|concern\w+)|\bdroit (?:d'accès|"
    r"à l'oubli|à l'effacement)",
    r"\b(?:borr|elimin|suprim)\w+\b[^.!?\n]{0,40}\b(?:datos|cuenta|información)|\bderecho (?:al olvido|de acceso|de supresión)",
    r"\b(?:cancell|elimin)\w+\b[^.!?\n]{0,40}\b(?:dati|account|informazioni)|\bdiritto (?:all'oblio|di accesso)",
    r"\b(?:apag|elimin|exclu)\w+\b[^.!?\n]{0,40}\b(?:dados|conta|informações)|\blgpd\b|\bdireito (?:ao esquecimento|de acesso)",
    r"(?:個人情報|データ|アカウント|登録情報)[^。\n]{0,10}(?:削除|消去|開示)",
    r"\b(?:access|accès|acceso|accesso|acesso|copy|copie|copia|cópia) (?:to|of|à|de|a|ai|dei|aos?|dos) (?:\w+ ){0,3}"
    r"(?:data|données|datos|dati|dados)\b",
    # a minor
    r"[- ]years?[- ]old\b|(?<!lang)(?<!mehr)(?<!ganz)jährige[rnsm]?\b",
    r"\b\d{1,2}[- ]?(?:years?[- ]old|yo\b|jähr\w+)|\b\d{1,2} (?:ans|años|anni|anos)\b(?! de (?:garantie|garantía|garantia))|"
    r"[0-9]{1,2}\s?[歳才]",
    r"\b(?:he|she)(?: is|'s) (?:only|just) (?:\d{1,2}|[a-z]{3,9}teen|ten|eleven|twelve|six|seven|eight|nine)\b|\bminor\b|"
    r"\bunder ?-?age\b|\bteenager",
    r"\b(?:my|our) (?:[\w-]+ ){0,2}(?:son|daughter|child|kids?|children|boy|girl|grand(?:son|daughter|child)|nephew|niece)\b",
    r"\b(?:mein|meine|unser|unsere)[mnrs]? (?:[\w-]+ )?(?:sohn|tochter|kind\w*|junge|enkel\w*|neffe|nichte)\b|\bminderjährig\w*",
    r"\b(?:mon|notre|ma|nos|mes) (?:fils|fille|enfants?|neveu|nièce|petit-fils)\b|\bmineure?\b",
    r"\bmi (?:hij[oa]|niet[oa]|sobrin[oa])\b|\bmenor de edad\b|\bmi[oa] (?:figli[oa]|nipote)\b|\bminorenne\b",
    r"\b(?:meu|minha) (?:filh[oa]|net[oa]|sobrinh[oa])\b|\bmenor(?: de idade)?\b|未成年|(?:息子|娘|子供|子ども|孫)(?=[がはの])",
    # another account for the money
    r"\b(?:different|other|another|new)\b[^.!?\n]{0,15}\b(?:account|card|iban)\b|\biban\b|\b(?:bank|wire) transfer\b|"
    r"\btransfer (?:it|the money)\b",
    r"\b(?:card|account)\b[^.!?\n]{0,25}\b(?:closed|expired|cancelled|lost|stolen|no longer)\b|"
    r"\bno longer have\b[^.!?\n]{0,20}\bcard\b|"
    r"\b(?:to|onto|via) (?:my )?paypal\b",
    r"\b(?:andere[sn]?|neue[sn]?)\b[^.!?\n]{0,15}\b(?:konto|karte|bankverbindung)\b|\bper überweisung\b|"
    r"\bauf (?:mein )?paypal\b",
    r"\b\w*(?:konto|karte)\b[^.!?\n]{0,25}\b(?:gekündigt|geschlossen|abgelaufen|gesperrt|aufgelöst|nicht mehr)",
    r"\b(?:autre|nouve(?:au|l|lle)) (?:compte|carte)|\b(?:par|un) virement\b|\brib\b|\bcarte\b[^.!?\n]{0,25}\b(?:expirée|"
    r"perdue|volée|annulée)",
    r"\b(?:otr[oa]|nuev[oa]) (?:cuenta|tarjeta)|\bpor transferencia\b|\btarjeta\b[^.!?\n]{0,25}\b(?:caducad|cancelad|perdid|"
    r"robad)a",
    r"\b(?:altr[oa]|nuov[oa]|divers[oa]) (?:conto|carta)|\b(?:conto|carta) (?:divers|nuov)[oa]\b|\b(?:con|tramite|"
    r"un) bonifico\b|"
    r"\b(?:conto|carta)\b[^.!?\n]{0,25}\b(?:chius|scadut|smarrit|bloccat)[oa]",
    r"\b(?:outr[oa]|nov[oa]) (?:conta|cartão)|\bpor transferência\b|\bmb ?way\b|\bcartão\b[^.!?\n]{0,25}\b(?:cancelado|"
    r"expirado|perdido|caducado)",
    r"(?:別|他|新しい|違う)の?(?:口座|カード)|振込|振り込|口座に(?!入)",
    # on behalf of another person
    r"\bon behalf of\b|\bpower of attorney\b|\bdeceased\b|\bpassed away\b|\bhas died\b|\b(?:my|our) (?:[\w-]+ )?(?:client|"
    r"customer|late|friend|"
    r"boss|husband|wife|spouse|mum|mom|mother|dad|father|parents?|grand(?:ma|pa|mother|father)|brother|sister|aunt|uncle)\b",
    r"\bim (?:auftrag|namen)\b|\bvollmacht\b|\bverstorben\w*|\b(?:mein|unser)(?:e[rsnm]?)? (?:\w+ )?(?:mandant\w*|mann\w*|"
    r"frau|mutter|mama|vaters?|"
    r"papa|eltern|bruders?|schwester|oma|opa|großmutter|großvater|chef|freund\w*)\b",
    r"\bau nom de\b|\bpour le compte de\b|\bdécédée?\b|\b(?:mon|ma|mes) (?:mari|femme|épouse|mère|père|parents|frère|sœur|"
    r"soeur|client\w*|"
    r"grand-\w+)\b",
    r"\ben nombre de\b|\bde parte de\b|\bfalleci\w*|\bmis? (?:marido|esposa|mujer|madre|padres?|herman[oa]|abuel[oa]|cliente)\b",
    r"\b(?:a|per) (?:nome|conto) d\w+|\bda parte di mi[oa]\b|\bdecedut[oa]|\bmi[oa] (?:marito|moglie|madre|padre|fratello|"
    r"sorella|nonn[oa]|"
    r"cliente)\b",
    r"\bem nome d\w+|\bda parte d[aoe]\b|\bfaleci\w*|\bfaleceu\b|\b(?:meu|minha) (?:marido|mulher|esposa|mãe|pai|irmã?o?|avó|"
    r"avô|cliente)\b",
    r"代理|代わりに|亡くな|(?:父|母|夫|妻|祖父|祖母|兄|姉|弟|妹)(?:の|が|は)",
    # a refund that has not arrived
    r"\brefund\w*\b[^.!?\n,;]{0,40}(?:\b(?:not|never)\b|n't\b)[^.!?\n,;]{0,20}\b(?:arriv|receiv|appear|show|credit|come|got)",
    r"(?:\b(?:not|never)\b|n't\b)[^.!?\n,;]{0,20}\b(?:receiv\w+|got(?:ten)?|seen)\b[^.!?\n,;]{0,15}\b(?:refund|money)\b",
    r"\bstill (?:waiting for|no)\b[^.!?\n,;]{0,15}\b(?:refund|money)",
    r"(?:erstattung|geld|rückzahlung)\b[^.!?\n,;]{0,30}\b(?:nicht|nie)\b[^.!?\n,;]{0,20}\b(?:angekommen|erhalten|eingegangen|"
    r"da)\b",
    r"\bkeine (?:rück)?(?:erstattung|zahlung)\b[^.!?\n,;]{0,15}\b(?:erhalten|bekommen|eingegangen)",
    r"\bwarte\b[^.!?\n,;]{0,30}(?:erstattung|geld)",
    r"\b(?:pas|jamais)\b[^.!?\n,;]{0,20}\b(?:reçu|arrivé)\b[^.!?\n,;]{0,20}rembours",
    r"rembours\w+[^.!?\n,;]{0,30}\b(?:pas|jamais)\b[^.!?\n,;]{0,15}\b(?:arrivé|reçu)",
    r"\bno (?:he recibido|ha llegado)\b[^.!?\n,;]{0,20}(?:reembols|devol)",
    r"(?:reembolso|devolución)\b[^.!?\n,;]{0,15}\bno (?:ha )?lleg",
    r"\bnon (?:ho ricevuto|è arrivato)\b[^.!?\n,;]{0,20}rimbors|rimborso\b[^.!?\n,;]{0,15}\bnon (?:è )?arriv",
    r"\bnão (?:recebi|chegou)\b[^.!?\n,;]{0,20}(?:reembols|devol|estorn)",
    r"(?:reembolso|estorno)\b[^.!?\n,;]{0,15}\bnão (?:chegou|foi)",
    r"返金[^。\n]{0,12}(?:届い|受け取|され|入金)[^。\n]{0,6}(?:ません|ない)",
    r"入金[^。\n]{0,8}(?:ません|ない)",
    r"\bstill nothing\b|\bnothing (?:has )?(?:arrived|come)\b[^.!?\n,;]{0,20}\baccount\b|\bstill (?:have not|haven't) (?:been|"
    r"got)\b[^.!?\n,;]{0,15}"
    r"\b(?:refund|money)",
    r"\b(?:geld|erstattung|betrag)\b[^.!?\n,;]{0,30}\b(?:immer noch|noch) nicht\b|\bnoch nichts? (?:auf|erstattet)|"
    r"\bnicht (?:wurde|erstattet)\b",
    r"\btoujours (?:rien|pas)\b[^.!?\n,;]{0,30}(?:compte|rembours)|\b(?:sigue sin|todavía no|"
    r"aún no)\b[^.!?\n,;]{0,30}(?:reembols|"
    r"devol|dinero|cuenta)",
    r"\bancora (?:nulla|niente|non)\b[^.!?\n,;]{0,30}(?:rimbors|conto|soldi)|\bainda não\b[^.!?\n,;]{0,30}(?:reembols|estorn|"
    r"dinheiro|conta)",
    r"(?:返金|口座)[^。\n]{0,20}まだ|まだ[^。\n]{0,12}(?:返金|口座|入金)",
    # another purchase without a reference
    r"\bother (?:\w+ )?(?:orders?|purchases?)\b|\bthe other (?:one|two|three)\b|\b(?:all|both) (?:of )?my (?:orders|"
    r"purchases)\b|"
    r"\b(?:rest of|remaining) (?:my|the) (?:orders|purchases)\b|\bmy (?:second|previous|earlier) (?:order|purchase)\b",
    r"\b(?:andere[nr]?|übrigen?|weiteren?|restlichen|zweiten?) (?:\w+ )?(?:bestellung\w*|käufe\w*|kauf\w*|auftr\w+)\b|"
    r"\bund die andere\b|"
    r"\balle meine (?:bestellungen|käufe)",
    r"\b(?:l'|d')autres? (?:commande|achat)|\bautres (?:commandes|achats)\b|\bet (?:de )?l'autre\b|\btoutes mes commandes\b",
    r"\botr[oa]s? (?:\w+ )?(?:pedidos?|compras?)\b|\by (?:d?el|de la|la) otr[oa]\b|\btodos mis pedidos\b",
    r"\baltr[oaie] (?:\w+ )?(?:ordin[ei]|acquist[oi])\b|\be (?:d?ell')?altr[oa]\b|\btutti i miei ordini\b",
    r"\boutr[oa]s? (?:\w+ )?(?:encomendas?|compras?|pedidos?)\b|\be (?:d?[oa]) outr[oa]\b|\btodas as minhas (?:encomendas|"
    r"compras)\b",
    r"(?:他|別|もう(?:一|1)(?:つ|件))の?(?:注文|購入|件)|もう(?:一|1)(?:つ|件)",
    # a range of references
    r"(?:REF|\b\d{3,})[ ]?(?:to|through|thru|bis|à|au|al|a|hasta|até|fino a|-|–|~|〜|から)[ ]?-?(?:REF|\d{2,})",
)
"""Words that support must read. A comment names the kind of the patterns below it. A doubtful match costs only a look."""
