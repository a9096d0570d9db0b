"""What mail programs write around a message, in the languages they write it: data for `tidy_mail` and `tidy_voice`.

All in lower case.
"""

from __future__ import annotations

OPENERS = (
    "on ", "am ", "le ", "el ", "il ", "em ", "op ", "w dniu ", "dnia ", "den ", "dne ", "a ", "il giorno ", "vào ",
    "pada ", "på ", "mon", "tue", "wed", "thu", "fri", "sat", "sun", "在", "于",
)  # fmt: skip
"""How the line that introduces a quote begins."""

WROTE = (
    "wrote", "schrieb", "a écrit", "escribió", "ha scritto", "escreveu", "schreef", "geschreven", "napisał",
    "napsal", "skrev", "写道", "寫道", "님이 작성", "yazdı", "написал", "пише", "kirjoitti", "írta",
    "a scris", "schreibt",
)  # fmt: skip
"""“Wrote”."""

ORIGINAL = (
    "original message", "ursprüngliche nachricht", "originalnachricht", "original-nachricht", "message d'origine",
    "message original", "message initial", "mensaje original", "messaggio originale", "mensagem original",
    "oorspronkelijk bericht", "origineel bericht", "oryginalna wiadomość", "wiadomość oryginalna",
    "oprindelig meddelelse", "ursprungligt meddelande", "original appointment", "原始邮件", "元のメッセージ",
    "above this line",
    "über dieser zeile", "au-dessus de cette ligne", "encima de esta línea", "sopra questa riga",
    "acima desta linha",
)  # fmt: skip
"""Separators after which history follows; they count in a line of dashes, or with a helpdesk's `##`."""

FORWARDED = (
    "forwarded message", "forwarded by", "weitergeleitete nachricht", "weitergeleitete e-mail", "message transféré",
    "mensaje reenviado", "messaggio inoltrato", "mensagem encaminhada", "doorgestuurd bericht",
    "przekazana wiadomość", "wiadomość przekazana", "转发的邮件",
)  # fmt: skip
"""Separators after which the forwarded message follows: that one is meant to be read."""

FORWARD_SUBJECTS = (
    "fw:", "fwd:", "wg:", "tr:", "rv:", "i:", "enc:", "doorst:", "vs:", "pd:", "wtr:", "转发",
)  # fmt: skip

POINTING = (
    "fyi", "see below", "as below", "message below", "mail below", "email below", "forward", "siehe unten", "s.u.",
    "s. u.", "weiterleit", "untenstehend", "zur info", "z.k.", "ci-dessous", "transf", "voir plus bas", "pour info",
    "más abajo", "reenv", "ver abajo", "di seguito", "inoltr", "vedi sotto", "abaixo", "encaminh", "zie onder",
    "hieronder", "doorge", "poniżej", "przesyłam", "请看下面", "见下",
)  # fmt: skip
"""Words of a short note that hands the message below it on."""

FROM = (
    "from", "von", "de", "da", "van", "od", "från", "fra", "发件人", "寄件者", "差出人",
)  # fmt: skip

DATE = (
    "sent", "date", "gesendet", "datum", "envoyé", "enviado", "enviada", "enviado el", "fecha", "inviato", "data",
    "verzonden", "wysłano", "skickat", "sendt", "dato", "发送时间", "日期", "送信日時", "sent on",
)  # fmt: skip

TO = (
    "to", "an", "à", "para", "a", "aan", "do", "till", "til", "收件人", "宛先",
)  # fmt: skip

OTHER = (
    "subject", "betreff", "objet", "asunto", "oggetto", "assunto", "onderwerp", "temat", "ämne", "emne", "主题", "件名",
    "cc", "bcc", "reply-to", "kopie", "importance", "priority", "attachments", "anlagen", "dw",
)  # fmt: skip
"""Names of a mail's header lines."""

DEVICES = (
    "sent from my ", "sent from mail for", "sent from yahoo", "sent from outlook", "sent via ", "get outlook for",
    "von meinem ", "gesendet von meinem ", "gesendet mit der ", "gesendet von mail", "gesendet von outlook",
    "diese nachricht wurde von meinem ", "envoyé de mon ", "envoyé depuis ", "envoyé à partir de ",
    "enviado desde mi ", "enviado desde ", "enviado do meu ", "enviado a partir ", "enviado de mi ", "inviato da ",
    "inviato dal mio ", "verzonden vanaf mijn ", "verstuurd vanaf mijn ", "wysłano z ", "wysłane z ",
    "skickat från min ", "sendt fra min ", "von meinem iphone gesendet", "发自我的", "iphoneから送信",
    "obtenir outlook",
    "obtener outlook", "outlook für",
)  # fmt: skip
"""How the line starts that a telephone or mail program adds."""

CLOSINGS = (
    "best regards", "kind regards", "regards", "best wishes", "many thanks", "thanks", "thank you", "sincerely",
    "best", "cheers", "yours sincerely", "yours faithfully", "mit freundlichen grüßen", "mit freundlichen gruessen",
    "freundliche grüße", "viele grüße", "beste grüße", "liebe grüße", "gruß", "mfg", "lg", "danke", "vielen dank",
    "cordialement", "bien cordialement", "bien à vous", "salutations distinguées", "merci", "saludos", "un saludo",
    "saludos cordiales", "atentamente", "gracias", "cordiali saluti", "distinti saluti", "saluti", "grazie",
    "atenciosamente", "cumprimentos", "obrigado", "obrigada", "met vriendelijke groet", "met vriendelijke groeten",
    "groet", "groeten", "z poważaniem", "pozdrawiam",
)  # fmt: skip
"""Closing words that stand alone on the line above a signature."""

GREETINGS = frozenset((
    "hi", "hello", "hey", "dear", "all", "team", "there", "support", "sir", "madam", "hallo", "guten", "tag",
    "morgen", "moin", "liebes", "sehr", "geehrte", "damen", "und", "herren", "bonjour", "salut", "madame",
    "monsieur", "hola", "buenos", "días", "buenas", "ciao", "buongiorno", "salve", "gentile", "olá", "bom", "dia",
    "boa", "tarde", "prezados", "beste", "goedendag", "dzień", "dobry", "witam",
))  # fmt: skip
"""Words of a greeting: a text made of nothing else says nothing."""

DISCLAIMER = (
    (
        "confidential", "vertraulich", "confidentiel", "confidencial", "riservat", "confidenziali", "vertrouwelijk",
        "poufn", "privileged",
    ),
    (
        "intended", "addressee", "recipient", "bestimmt", "empfänger", "adressat", "destinataire", "destinatari",
        "destinat", "dirigid", "geadresseerde", "bestemd", "adresat",
    ),
    (
        "in error", "by mistake", "irrtümlich", "versehentlich", "par erreur", "por error", "per errore",
        "por engano", "ten onrechte", "abusievelijk", "omyłkow", "not the intended",
    ),
    (
        "delete", "destroy", "disclos", "distribut", "copy", "copying", "vernicht", "lösch", "weitergabe", "supprim",
        "détrui", "divulg", "elimin", "borr", "cancell", "apag", "verwijder", "usun", "notify",
    ),
)  # fmt: skip
"""A paragraph that holds a word of at least three of these groups is a confidentiality notice."""

FIRST_PERSON = (
    " i ", " my ", " me ", " i'", " ich ", " mein", " mir ", " je ", " j'", " mon ", " ma ", " mi ", " yo ", " mio ",
    " meu ", " minha ", " mijn ", " ik ",
)  # fmt: skip
"""A customer speaks: then it is no notice, it may be the report of a leak."""

AGENT = (
    "agent", "support agent", "operator", "representative", "rep", "advisor", "support", "mitarbeiter", "berater",
    "kundenservice", "conseiller", "conseillère", "agente", "asesor", "operador", "operatore", "atendente",
    "assistente", "medewerker", "konsultant", "bot", "ivr", "assistant",
)  # fmt: skip

CUSTOMER = (
    "customer", "caller", "client", "user", "kunde", "kundin", "anrufer", "anruferin", "cliente", "usuario",
    "usuária", "usuário", "chiamante", "klant", "beller", "klient", "appelant", "visitor",
)  # fmt: skip
"""Who speaks in a transcript, as written before a colon."""
