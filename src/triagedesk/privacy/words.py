"""Words that announce personal data, in the languages of the desks: data for the finders beside it.

All in lower case.
"""

from __future__ import annotations

PASSWORD = (
    "password", "passwort", "kennwort", "passwd", "pwd", "passphrase", "pass phrase", "passcode", "mot de passe",
    "mdp", "contraseña", "contrasena", "clave", "senha", "palavra-passe", "palavra passe", "parola d'ordine",
    "parola", "wachtwoord", "hasło", "haslo", "пароль", "密码", "lösenord", "adgangskode",
)  # fmt: skip
"""What a password is called."""

IS = (
    "is", "was", "to", "ist", "war", "lautet", "auf", "est", "était", "es", "era", "é", "è", "foi", "jest", "är",
    "er", "is set to", "equals", "that is",
)  # fmt: skip
"""Between a password's name and the password."""

NO_PASSWORD = frozenset((
    "wrong", "incorrect", "invalid", "expired", "working", "correct", "right", "gone", "lost", "forgotten",
    "missing", "unknown", "secure", "safe", "weak", "strong", "old", "new", "same", "different", "compromised",
    "stolen", "hacked", "leaked", "broken", "locked", "blocked", "rejected", "refused", "needed", "required",
    "reset", "changed", "known", "visible", "not", "being", "never", "always", "still", "also", "falsch", "ungültig",
    "abgelaufen", "richtig", "korrekt", "weg", "vergessen", "gesperrt", "gestohlen", "geändert", "nicht", "invalide",
    "expiré", "faux", "oublié", "incorrecta", "incorrecto", "inválida", "caducada", "olvidada", "errata", "scaduta",
    "sbagliata", "corretta", "errada", "incorreta", "expirada", "esquecida", "verkeerd", "verlopen", "onjuist",
    "the", "der", "die", "das",
))  # fmt: skip
"""What else is said of a password: then it is not told."""

IBAN_LENGTHS = (
    "AD24", "AE23", "AL28", "AT20", "AZ28", "BA20", "BE16", "BG22", "BH22", "BI27", "BR29", "BY28", "CH21", "CR22",
    "CY28", "CZ24", "DE22", "DJ27", "DK18", "DO28", "EE20", "EG29", "ES24", "FI18", "FK18", "FO18", "FR27", "GB22",
    "GE22", "GI23", "GL18", "GR27", "GT28", "HN28", "HR21", "HU28", "IE22", "IL23", "IQ23", "IS26", "IT27", "JO30",
    "KW30", "KZ20", "LB28", "LC32", "LI21", "LT20", "LU20", "LV21", "LY25", "MC27", "MD24", "ME22", "MK19", "MN20",
    "MR27", "MT31", "MU30", "NI28", "NL18", "NO15", "OM23", "PK24", "PL28", "PS29", "PT25", "QA29", "RO24", "RS22",
    "RU33", "SA24", "SC31", "SD18", "SE24", "SI19", "SK24", "SM27", "SO23", "ST25", "SV28", "TL23", "TN24", "TR26",
    "UA29", "VA22", "VG24", "XK20", "YE30",
)  # fmt: skip
"""Country and number of characters of its IBAN (SWIFT IBAN registry, as in python-stdnum 2.2)."""

DOCUMENT = (
    "passport", "driver's license", "driver’s license", "drivers license", "driver's licence", "driving licence",
    "driving license", "identity card", "id card", "national id", "reisepass", "personalausweis", "ausweis",
    "führerschein", "passeport", "carte d'identité", "permis de conduire", "pasaporte", "documento de identidad",
    "carné de conducir", "passaporto", "carta d'identità", "patente", "passaporte", "carteira de identidade",
    "paspoort", "rijbewijs", "paszport", "dowód osobisty", "social security number",
)  # fmt: skip
"""Documents whose number is told after their name."""

CALL = (
    "phone", "telephone", "tel", "tel.", "mobile", "cell", "fax", "desk", "office", "whatsapp", "sms", "text",
    "call", "ring", "reach", "dial", "callback", "call-back", "contact", "my number", "telefon", "telefonnummer",
    "handy", "handynummer", "mobil", "rufnummer", "rückruf", "ruf", "anruf", "anrufen", "erreich", "durchwahl",
    "meine nummer", "téléphone", "portable", "appel", "appelez", "joindre", "rappel", "mon numéro", "teléfono",
    "telefono", "móvil", "movil", "celular", "llam", "mi número", "cellulare", "chiama", "il mio numero", "telefone",
    "telemóvel", "ligu", "liga", "ligar", "meu número", "telefoon", "bel", "mobiel", "mijn nummer", "zadzwo",
    "dzwoń", "komórk", "mój numer",
)  # fmt: skip
"""Before a telephone number."""

THING = (
    "order", "invoice", "ticket", "case", "ref", "reference", "tracking", "article", "item", "serial", "account",
    "customer no", "customer number", "id", "sku", "model", "version", "contract", "booking", "parcel", "shipment",
    "policy", "bestell", "rechnung", "auftrag", "kunden", "vorgang", "sendung", "artikel", "vertrag", "seriennummer",
    "buchung", "commande", "facture", "colis", "dossier", "contrat", "pedido", "factura", "envío", "cliente",
    "ordine", "fattura", "pratica", "contratto", "encomenda", "fatura", "bestelling", "factuur", "klant",
    "zamówieni", "faktur", "amount", "betrag", "total", "eur", "usd", "gbp", "€", "$", "£", "#", "isbn", "ean",
    "iban", "uuid", "error", "fehler", "code", "plz", "zip",
)  # fmt: skip
"""Before a number that is none of a person."""
