"""Patterns of what support must read besides the request, in seven languages. A mail with a match is flagged."""

from producers.mail.reason_patterns import any_of

CONCERNS = any_of(
    # a lawyer, a court or a deadline
    r"\blawyers?\b|\battorneys?\b|\bsolicitors?\b|\blegal action\b|\bsue you\b|\bcourt\b|\bdeadline\b",
    r"\b(?:within|in) (?:\w+ )?(?:days|hours|weeks?)\b[^.!?\n]{0,40}\bor\b|\bconsumer protection\b",
    r"\bfinal (?:notice|warning)\b",
    r"\b(?:no later than|by) (?:mon|tues|wednes|thurs|fri|satur|sun)day\b|anwalt|anwält|rechtliche schritte|\bgericht\b",
    r"\bmahnbescheid|\bverklage|\bfrist\b|\bfristsetzung|\bverbraucherzentrale|\bbis (?:spätestens|zum)\b|\binnerhalb von\b",
    r"\bbinnen\b",
    r"\bavocate?\b|\btribunal\b|\bmise en demeure\b|\bporter plainte|\bdélai de\b|\bsous (?:huit|quinze|\d+) jours\b",
    r"\bdans un délai|\babogad[oa]\b|\bdemanda(?:ré|r)\b|\bdenunci\w+|\bacciones legales\b|\bplazo\b|\ben \d+ días\b",
    r"\bavvocat[oa]\b|\bvie legali\b|\bdenunci\w+|\bdiffida\b|\bentro (?:\w+ )?giorni|\bentro il\b|\badvogad[oa]\b|\bprocon\b",
    r"\bprazo\b|\bações? judicia\w+|\btribunal\b|弁護士|訴え|訴訟|裁判|法的|期限|消費(?:者)?センター|消費生活",
    # a chargeback
    r"\bcharge ?backs?\b|\bdispute (?:the|this|it|my)\b|\b(?:my|the) (?:bank|card (?:issuer|company)|credit card company)\b",
    r"\bpaypal case\b|\brückbuch\w+|\brücklastschrift|\bbei (?:meiner|der) bank\b",
    r"\b(?:zahlung|lastschrift|abbuchung) (?:\w+ )?zurückbuchen",
    r"\b(?:ma|la) banque\b|\bopposition\b|\brétrofacturation|\b(?:mi|el) banco\b|\bcontracargo|\b(?:mia|la) banca\b",
    r"\bstorno (?:bancario|della carta)|\b(?:meu|o) banco\b|チャージバック|カード会社|銀行に",
    # erasure and data protection
    r"\b(?:delete|erase|remove)\b[^.!?\n]{0,30}\b(?:data|account|information)\b|\bgdpr\b|\bdata protection\b|\bdsgvo\b",
    r"\b(?:daten|konto|kundenkonto)\b[^.!?\n]{0,30}\b(?:lösch\w+)|\blösch\w+\b[^.!?\n]{0,30}\b(?:daten|konto)",
    r"\brgpd\b|\b(?:supprim|effac)\w+\b[^.!?\n]{0,30}\b(?:données|compte)",
    r"\b(?:borr|elimin|suprim)\w+\b[^.!?\n]{0,30}\b(?:datos|cuenta)|\b(?:cancell|elimin)\w+\b[^.!?\n]{0,30}\b(?:dati|account)",
    r"\b(?:apag|elimin|exclu)\w+\b[^.!?\n]{0,30}\b(?:dados|conta)|\blgpd\b|(?:個人情報|データ|アカウント)[^。\n]{0,10}(?:削除|"
    r"消去)",
    # a minor
    r"\b(?:my|our) (?:\w+[- ]year[- ]old )?(?:son|daughter|child|kid|grandson|granddaughter)\b|\bminor\b|\bunder ?age\b",
    r"\b\d{1,2}[- ]years?[- ]old\b|\b(?:mein|meine|unser|unsere) (?:\w+ )?(?:sohn|tochter|kind|enkel\w*)\b|\bminderjährig\w*",
    r"\b(?:mon|notre|ma) (?:fils|fille|enfant)\b|\bmineure?\b|\bmi (?:hij[oa]|niet[oa])\b|\bmenor de edad\b",
    r"\bmi[oa] figli[oa]\b|\bminorenne\b|\b(?:meu|minha) filh[oa]\b|\bmenor(?: de idade)?\b|未成年|(?:息子|娘|子供|子ども)が",
    # another account for the money
    r"\b(?:different|other|another|new)\b[^.!?\n]{0,15}\b(?:account|card|iban)\b|\biban\b",
    r"\b(?:card|account)\b[^.!?\n]{0,25}\b(?:closed|expired|cancelled|lost|stolen|no longer)\b",
    r"\b(?:andere[sn]?|neue[sn]?)\b[^.!?\n]{0,15}\b(?:konto|karte|bankverbindung)\b",
    r"\b(?:konto|karte)\b[^.!?\n]{0,25}\b(?:gekündigt|geschlossen|abgelaufen|gesperrt|aufgelöst)",
    r"\b(?:autre|nouve(?:au|l)) (?:compte|carte)|\b(?:otr[oa]|nuev[oa]) (?:cuenta|tarjeta)",
    r"\b(?:altr[oa]|nuov[oa]) (?:conto|carta)|\b(?:outr[oa]|nov[oa]) (?:conta|cartão)",
    r"(?:別|他|新しい)の?(?:口座|カード)|振込先|口座に",
    # on behalf of another person
    r"\bon behalf of\b|\b(?:my|our) (?:\w+ )?(?:client|customer|husband|wife|mother|father|boss|friend|late)\b",
    r"\bpower of attorney\b|\bdeceased\b|\bpassed away\b|\bim (?:auftrag|namen)\b",
    r"\b(?:mein|meine[rsn]?) (?:\w+ )?(?:mandant\w*|mann|frau|mutter|vater|chef)\b|\bvollmacht\b|\bverstorben",
    r"\bau nom de\b|\bpour le compte de\b|\bdécédé|\b(?:mon|ma) (?:mari|femme|mère|père|client\w*)\b|\ben nombre de\b",
    r"\bfalleci|\bmi (?:marido|esposa|madre|padre|cliente)\b|\b(?:a|per) (?:nome|conto) d\w+|\bdecedut",
    r"\b(?:mia|mio) (?:marito|moglie|madre|padre|cliente)\b|\bem nome d\w+|\bfaleci",
    r"\b(?:meu|minha) (?:marido|esposa|mãe|pai|cliente)\b|代理|代わりに|亡くな",
    # a refund that has not arrived
    r"\brefund\w*\b[^.!?\n]{0,40}(?:\b(?:not|never)\b|n't\b)[^.!?\n]{0,20}\b(?:arriv|receiv|appear|show|credit|come|got)",
    r"(?:\b(?:not|never)\b|n't\b)[^.!?\n]{0,20}\b(?:receiv\w+|got(?:ten)?|seen)\b[^.!?\n]{0,15}\b(?:refund|money)\b",
    r"\bstill (?:waiting for|no)\b[^.!?\n]{0,15}\b(?:refund|money)",
    r"(?:erstattung|geld|rückzahlung)\b[^.!?\n]{0,30}\b(?:nicht|nie)\b[^.!?\n]{0,20}\b(?:angekommen|erhalten|eingegangen|da)\b",
    r"\bkeine (?:rück)?(?:erstattung|zahlung)\b[^.!?\n]{0,15}\b(?:erhalten|bekommen|eingegangen)",
    r"\bwarte\b[^.!?\n]{0,30}(?:erstattung|geld)",
    r"\b(?:pas|jamais)\b[^.!?\n]{0,20}\b(?:reçu|arrivé)\b[^.!?\n]{0,20}rembours",
    r"rembours\w+[^.!?\n]{0,30}\b(?:pas|jamais)\b[^.!?\n]{0,15}\b(?:arrivé|reçu)",
    r"\bno (?:he recibido|ha llegado)\b[^.!?\n]{0,20}(?:reembols|devol)",
    r"(?:reembolso|devolución)\b[^.!?\n]{0,15}\bno (?:ha )?lleg",
    r"\bnon (?:ho ricevuto|è arrivato)\b[^.!?\n]{0,20}rimbors|rimborso\b[^.!?\n]{0,15}\bnon (?:è )?arriv",
    r"\bnão (?:recebi|chegou)\b[^.!?\n]{0,20}(?:reembols|devol|estorn)",
    r"(?:reembolso|estorno)\b[^.!?\n]{0,15}\bnão (?:chegou|foi)",
    r"返金[^。\n]{0,12}(?:届い|受け取|され|入金)[^。\n]{0,6}(?:ません|ない)",
    r"入金[^。\n]{0,8}(?:ません|ない)",
    # another purchase without a reference
    r"\b(?:and|plus) the other (?:one|order|purchase)\b|\bund die andere\b|\bet l'autre\b|\by (?:el|la) otr[oa]\b",
    r"\be l'altr[oa]\b|\be [oa] outr[oa]\b|もう(?:一|1)(?:つ|件)",
)
"""Words that support must read. A comment names the kind of the patterns below it. A doubtful match costs only a look."""
