"""Where the desk's rules of thumb pull against each other, told by plain customers in six languages."""

# ruff: noqa: E501 - a customer's sentences stand on one line
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from desk_parts import LANGUAGES, by_rules, default_playbook, label
from triagedesk import Suggestion
from triagedesk.playbook import Playbook
from triagedesk.playbook.load import parse_playbook


@dataclass(frozen=True)
class Pull:
    """A case, the urgencies and further labels that it may get, and what a customer writes in each language."""

    name: str
    urgency: tuple[str, ...]
    says: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)


FILLER = {
    "en": "We moved into the new house in spring and have been customers ever since, and the garden has kept us busy. ",
    "de": "Wir sind im Frühjahr in das neue Haus gezogen und seitdem Kunden bei Ihnen, und der Garten macht viel Arbeit. ",
    "fr": "Nous avons emménagé au printemps dans la nouvelle maison et le jardin nous occupe beaucoup depuis ce temps. ",
    "es": "Nos mudamos en primavera a la casa nueva y desde entonces el jardín nos tiene bastante entretenidos. ",
    "it": "In primavera ci siamo trasferiti nella casa nuova e da allora il giardino ci tiene molto occupati. ",
    "pt": "Na primavera mudámos para a casa nova e desde então o jardim dá-nos bastante que fazer. ",
}

PULLS = (
    Pull("1 a question about an invoice", ("low",), {
        "en": "Hello, could you explain what the item 'base fee' on my invoice for October means?",
        "de": "Guten Tag, können Sie mir erklären, was der Posten Grundgebühr auf meiner Rechnung für Oktober bedeutet?",
        "fr": "Bonjour, pourriez-vous m'expliquer à quoi correspond la ligne « frais de base » sur ma facture d'octobre ?",
        "es": "Hola, ¿me pueden explicar qué significa el concepto «cuota básica» en mi factura de octubre?",
        "it": "Buongiorno, potete spiegarmi che cosa significa la voce «quota base» sulla mia fattura di ottobre?",
        "pt": "Bom dia, podem explicar-me o que significa a linha «taxa base» na minha fatura de outubro?",
    }, {"issue_type": "billing_payment", "escalation": "none"}),
    Pull("1 a wrong charge", ("high",), {
        "en": "You took 89 euros from my account instead of the 49 we agreed on.",
        "de": "Sie haben 89 Euro von meinem Konto abgebucht statt der vereinbarten 49.",
        "fr": "Vous avez prélevé 89 euros sur mon compte au lieu des 49 convenus.",
        "es": "Me han cobrado 89 euros en lugar de los 49 acordados.",
        "it": "Mi avete addebitato 89 euro invece dei 49 concordati.",
        "pt": "Cobraram-me 89 euros em vez dos 49 combinados.",
    }, {"issue_type": "billing_payment", "escalation": "billing_payment"}),
    Pull("1 a charge taken twice", ("high",), {
        "en": "The amount for my order was taken from my card twice.",
        "de": "Der Betrag für meine Bestellung wurde zweimal von meiner Karte abgebucht.",
        "fr": "Le montant de ma commande a été débité deux fois sur ma carte.",
        "es": "El importe de mi pedido se ha cobrado dos veces en mi tarjeta.",
        "it": "L'importo del mio ordine è stato addebitato due volte sulla mia carta.",
        "pt": "O valor da minha encomenda foi cobrado duas vezes no meu cartão.",
    }, {"issue_type": "billing_payment", "escalation": "billing_payment"}),
    Pull("1 a payment that fails", ("high",), {
        "en": "I have been trying to pay my bill since yesterday, but the payment fails every time.",
        "de": "Ich versuche seit gestern, meine Rechnung zu bezahlen, aber die Zahlung schlägt jedes Mal fehl.",
        "fr": "J'essaie de payer ma facture depuis hier, mais le paiement échoue à chaque fois.",
        "es": "Desde ayer intento pagar mi factura, pero el pago falla una y otra vez.",
        "it": "Da ieri cerco di pagare la mia fattura, ma il pagamento non va mai a buon fine.",
        "pt": "Estou a tentar pagar a minha fatura desde ontem, mas o pagamento falha sempre.",
    }, {"issue_type": "billing_payment", "escalation": "billing_payment"}),
    Pull("2 how do I reset", ("low",), {
        "en": "How do I reset my password? I would like to choose a new one.",
        "de": "Wie kann ich mein Passwort zurücksetzen? Ich möchte gern ein neues wählen.",
        "fr": "Comment faire pour réinitialiser mon mot de passe ? J'aimerais en choisir un nouveau.",
        "es": "¿Cómo puedo restablecer mi contraseña? Me gustaría elegir una nueva.",
        "it": "Come faccio a reimpostare la password? Vorrei sceglierne una nuova.",
        "pt": "Como faço para redefinir a minha palavra-passe? Gostava de escolher uma nova.",
    }, {"issue_type": "account_access", "escalation": "none"}),
    Pull("2 locked out now", ("high",), {
        "en": "I am locked out of my account and cannot get in any more.",
        "de": "Ich bin aus meinem Konto ausgesperrt und komme nicht mehr hinein.",
        "fr": "Mon compte est bloqué et je n'arrive plus à me connecter.",
        "es": "Mi cuenta está bloqueada y ya no puedo entrar.",
        "it": "Il mio account è bloccato e non riesco più a entrare.",
        "pt": "A minha conta está bloqueada e já não consigo entrar.",
    }, {"issue_type": "account_access"}),
    Pull("2 all users locked out", ("critical",), {
        "en": "None of our 60 employees can log in any more, all users are locked out.",
        "de": "Keiner unserer 60 Mitarbeiter kann sich mehr anmelden, alle Benutzer sind ausgesperrt.",
        "fr": "Aucun de nos 60 employés ne peut plus se connecter, tous les utilisateurs sont bloqués.",
        "es": "Ninguno de nuestros 60 empleados puede iniciar sesión, todos los usuarios están bloqueados.",
        "it": "Nessuno dei nostri 60 dipendenti riesce più ad accedere, tutti gli utenti sono bloccati.",
        "pt": "Nenhum dos nossos 60 funcionários consegue entrar, todos os utilizadores estão bloqueados.",
    }, {"escalation": "technical"}),
    Pull("3 one user's third drop", ("high",), {
        "en": "My internet connection has dropped for the third time this week, and now it is gone again.",
        "de": "Meine Internetverbindung ist diese Woche schon zum dritten Mal ausgefallen.",
        "fr": "C'est la troisième fois cette semaine que ma connexion internet coupe.",
        "es": "Es la tercera vez esta semana que se me corta la conexión a internet.",
        "it": "È la terza volta questa settimana che mi cade la connessione internet.",
        "pt": "É a terceira vez esta semana que a minha ligação à internet cai.",
    }),
    Pull("3 all down", ("critical",), {
        "en": "The whole system is down, nobody in our company can work since this morning.",
        "de": "Das ganze System ist ausgefallen, seit heute Morgen kann niemand in unserer Firma arbeiten.",
        "fr": "Tout le système est en panne, personne dans notre entreprise ne peut travailler depuis ce matin.",
        "es": "Todo el sistema está caído, nadie en nuestra empresa puede trabajar desde esta mañana.",
        "it": "L'intero sistema è fuori servizio, da stamattina nessuno in azienda può lavorare.",
        "pt": "Todo o sistema está em baixo, ninguém na nossa empresa consegue trabalhar desde esta manhã.",
    }, {"issue_type": "outage", "escalation": "technical"}),
    Pull("4 a VIP's complaint", ("high",), {
        "en": "I want to complain: your employee on the phone was rude to me and did not listen at all.",
        "de": "Ich möchte mich beschweren: Ihr Mitarbeiter am Telefon war unhöflich und hat überhaupt nicht zugehört.",
        "fr": "Je souhaite me plaindre : votre employé au téléphone a été impoli et ne m'a pas du tout écouté.",
        "es": "Quiero presentar una queja: su empleado fue grosero conmigo por teléfono y no me escuchó.",
        "it": "Vorrei fare un reclamo: il vostro impiegato al telefono è stato scortese e non mi ha ascoltato.",
        "pt": "Quero apresentar uma reclamação: o vosso funcionário foi mal-educado ao telefone e não me ouviu.",
    }, {"issue_type": "complaint"}, {"customer_tier": "vip"}),
    Pull("4 anybody's complaint", ("medium",), {
        "en": "I want to complain: your employee on the phone was rude to me and did not listen at all.",
        "de": "Ich möchte mich beschweren: Ihr Mitarbeiter am Telefon war unhöflich und hat überhaupt nicht zugehört.",
        "fr": "Je souhaite me plaindre : votre employé au téléphone a été impoli et ne m'a pas du tout écouté.",
        "es": "Quiero presentar una queja: su empleado fue grosero conmigo por teléfono y no me escuchó.",
        "it": "Vorrei fare un reclamo: il vostro impiegato al telefono è stato scortese e non mi ha ascoltato.",
        "pt": "Quero apresentar uma reclamação: o vosso funcionário foi mal-educado ao telefone e não me ouviu.",
    }, {"issue_type": "complaint", "escalation": "customer_service"}),
    Pull("4 danger for a free user", ("critical",), {
        "en": "By the way, the adapter gets so hot that smoke is coming out of it.",
        "de": "Übrigens wird das Netzteil so heiß, dass Rauch herauskommt.",
        "fr": "Au fait, l'adaptateur devient si chaud que de la fumée en sort.",
        "es": "Por cierto, el adaptador se calienta tanto que sale humo.",
        "it": "A proposito, l'alimentatore si scalda tanto che esce del fumo.",
        "pt": "Já agora, o adaptador aquece tanto que sai fumo.",
    }, {"issue_type": "safety", "escalation": "management"}, {"customer_tier": "standard"}),
    Pull("5 a matter for management", ("high",), {
        "en": "If you do not solve this, I will go to my lawyer and take you to court.",
        "de": "Wenn Sie das nicht klären, gehe ich zu meinem Anwalt und verklage Sie.",
        "fr": "Si vous ne réglez pas cela, je saisirai mon avocat et j'irai au tribunal.",
        "es": "Si no lo resuelven, acudiré a mi abogado y los demandaré.",
        "it": "Se non risolvete la questione, mi rivolgerò al mio avvocato e vi farò causa.",
        "pt": "Se não resolverem isto, vou falar com o meu advogado e processar-vos.",
    }, {"escalation": "management"}),
    Pull("5 a broken promise", ("high",), {
        "en": "You promised to call me back by Friday, and nobody has called so far.",
        "de": "Sie haben mir versprochen, mich bis Freitag zurückzurufen, aber bis heute hat niemand angerufen.",
        "fr": "Vous m'aviez promis de me rappeler avant vendredi, et personne ne m'a appelé à ce jour.",
        "es": "Me prometieron que me llamarían antes del viernes y nadie me ha llamado todavía.",
        "it": "Mi avevate promesso di richiamarmi entro venerdì e finora non ha chiamato nessuno.",
        "pt": "Prometeram ligar-me até sexta-feira e até agora ninguém me ligou.",
    }, {"escalation": "sla_breach"}),
    Pull("6 feedback that mentions harm", ("critical",), {
        "en": "Just some feedback: great toaster, but it gave my son an electric shock yesterday.",
        "de": "Nur eine kleine Rückmeldung: toller Toaster, aber mein Sohn hat gestern einen Stromschlag davon bekommen.",
        "fr": "Juste un petit retour : super grille-pain, mais mon fils a reçu une décharge électrique hier.",
        "es": "Solo una sugerencia: la tostadora es estupenda, pero ayer mi hijo recibió una descarga eléctrica.",
        "it": "Solo un piccolo commento: ottimo tostapane, ma ieri mio figlio ha preso la scossa.",
        "pt": "Só uma opinião: ótima torradeira, mas ontem o meu filho apanhou um choque elétrico.",
    }, {"issue_type": "safety", "escalation": "management"}),
    Pull("7 a calm sentence that lowers impact", ("low", "medium"), {
        "en": "{f}Since the update the printing in the app does not work, which is a great nuisance to me! {f}"
        "On the computer printing still works, so for now I get by with that. {f}",
        "de": "{f}Seit dem Update funktioniert das Drucken in der App nicht, das ist sehr ärgerlich! {f}"
        "Am Computer klappt das Drucken noch, damit komme ich vorerst zurecht. {f}",
        "fr": "{f}Depuis la mise à jour, l'impression dans l'application ne marche pas, c'est très pénible ! {f}"
        "Sur l'ordinateur l'impression fonctionne encore, je m'en contente pour l'instant. {f}",
        "es": "{f}Desde la actualización no funciona la impresión en la aplicación, ¡es muy molesto! {f}"
        "En el ordenador sí puedo imprimir, así que de momento me apaño. {f}",
        "it": "{f}Dopo l'aggiornamento la stampa nell'app non funziona, è una bella seccatura! {f}"
        "Dal computer la stampa funziona ancora, quindi per ora mi arrangio così. {f}",
        "pt": "{f}Desde a atualização a impressão na aplicação não funciona, é muito aborrecido! {f}"
        "No computador ainda consigo imprimir, por isso por agora vou-me arranjando. {f}",
    }, {"issue_type": "technical"}),
    Pull("7 a calm sentence that reveals a breach", ("critical",), {
        "en": "{f}{f}By the way, in my customer area I can see the names and addresses of other customers. {f}Have a nice day.",
        "de": "{f}{f}Nebenbei, in meinem Kundenbereich sehe ich die Namen und Adressen anderer Kunden. {f}Schönen Tag noch.",
        "fr": "{f}{f}Au passage, dans mon espace client je vois les noms et adresses d'autres clients. {f}Bonne journée.",
        "es": "{f}{f}Por cierto, en mi área de cliente veo los nombres y direcciones de otros clientes. {f}Que tengan un buen día.",
        "it": "{f}{f}Tra l'altro, nella mia area clienti vedo i nomi e gli indirizzi di altri clienti. {f}Buona giornata.",
        "pt": "{f}{f}A propósito, na minha área de cliente vejo os nomes e moradas de outros clientes. {f}Bom dia para todos.",
    }, {"issue_type": "security_privacy", "escalation": "technical"}),
)  # fmt: skip
TOLD = [(pull, language) for pull in PULLS for language in LANGUAGES]


def suggestion(pull: Pull, language: str) -> Suggestion:
    """Let the rules read a case as it is told in a language."""
    return by_rules(pull.says[language].replace("{f}", FILLER[language]), **pull.given)


@pytest.mark.parametrize(("pull", "language"), TOLD, ids=[f"{pull.name} in {language}" for pull, language in TOLD])
def test_where_rules_of_thumb_pull_apart_the_label_guide_decides(pull: Pull, language: str) -> None:
    found = suggestion(pull, language)
    got = {name: label(found, name) for name in pull.labels}
    assert label(found) in pull.urgency, (
        pull.says[language],
        [reason.quote for reason in found.labels["urgency"].reasons],
    )
    assert got == pull.labels, pull.says[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_5_both_ends_of_the_ladder_are_senior_management_but_for_different_reasons(language: str) -> None:
    threat, promise = (
        suggestion(next(pull for pull in PULLS if pull.name == name), language)
        for name in ("5 a matter for management", "5 a broken promise")
    )
    assert threat.escalation_path[-1].team == promise.escalation_path[-1].team == "senior_management"
    reasons = [{reason.text for reason in found.labels["escalation"].reasons} for found in (threat, promise)]
    assert not reasons[0] & reasons[1]
    assert all(found.labels["escalation"].reasons[0].quote for found in (threat, promise))


def test_4_safety_wins_for_a_vip_who_complains_too() -> None:
    found = by_rules("I want to complain about your rude staff, and the adapter caught fire.", customer_tier="vip")
    assert (label(found), label(found, "escalation")) == ("critical", "management")


# --- 8 helpdesks have four levels, three or two: the levels are the playbook's

SMALL = """
playbook: small
version: "1"
languages: [en]
dimensions:
  urgency:
    kind: ordinal
    decide: first
    description: d
    fallback: {last}
    fallback_reason: Nothing was found.
    labels: [{labels}]
  issue_type: {{kind: nominal, description: d, fallback: general, fallback_reason: n, labels: [{{name: general, description: d}}, {{name: other, description: d}}]}}
  escalation: {{kind: nominal, description: d, fallback: none, fallback_reason: n, labels: [{{name: none, description: d}}, {{name: team, description: d}}]}}
tiers: {{standard: {{}}}}
channels: {{email: {{}}}}
calendars: {{default: {{}}}}
targets: {{{targets}}}
queues: {{template: "{{issue}}", issue: {{}}}}
escalation_paths: {{none: {{steps: [{{team: frontline, after: 0m}}]}}, team: {{steps: [{{team: lead, after: 0m}}]}}}}
signals: {{fire: {{patterns: {{en: ['fire']}}}}}}
rules: [{{id: r, when: {{any: fire}}, weight: 1, says: {{urgency: "{first}"}}, reason: It burns.}}]
"""


def playbook_of(levels: tuple[str, ...]) -> Playbook:
    text = SMALL.format(
        first=levels[0], last=f'"{levels[-1]}"',
        labels=", ".join(f'{{name: "{name}", description: d}}' for name in levels),
        targets=", ".join(f'"{name}": {{first_response: 1h, resolution: 4h}}' for name in levels),
    )  # fmt: skip
    return parse_playbook(text.encode(), where="small")


@pytest.mark.parametrize("levels", [("priority", "normal"), ("high", "normal", "low"), ("a", "b", "c", "d", "e")])
def test_8_a_playbook_may_have_as_many_levels_as_a_helpdesk(levels: tuple[str, ...]) -> None:
    playbook = playbook_of(levels)
    assert label(by_rules("It is on fire", playbook=playbook)) == levels[0]
    assert label(by_rules("Hello", playbook=playbook)) == levels[-1]
    assert [playbook.severity("urgency", name) for name in levels] == list(range(len(levels)))[::-1]


def test_every_case_is_told_in_six_languages() -> None:
    assert {tuple(pull.says) for pull in PULLS} == {LANGUAGES}
    assert default_playbook().document.languages == LANGUAGES
