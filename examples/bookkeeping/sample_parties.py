"""Who pays and who is paid in the sample quarter: names on bills, names as banks write them, true category.

All of it is made up or generic; addresses exist in outline only.
It does not know what anybody paid.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class How(Enum):
    """How a payment is made; decides what the bank writes about it."""

    CARD = "card"
    IDEAL = "ideal"
    DEBIT = "debit"
    TRANSFER = "transfer"
    OWN = "own"
    CASH = "cash"
    BANK = "bank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Somebody who pays or is paid."""

    name: str
    """As printed on the bill."""
    bank: str
    """As the bank writes it."""
    category: str
    """The true one, which a bank line alone does not always show."""
    how: How
    address: str = ""
    """Street and number, postcode and place, as printed on the bill; empty where no bill is drawn."""


BUSINESS: Final = Party(
    name="Studio Linde",
    bank="Studio Linde",
    category="transfer",
    how=How.OWN,
    address="Oudegracht 318, 3511 PK Utrecht",
)
"""The business itself, as it stands on its own invoices."""

_SUPPLIERS: Final = """
ah|Albert Heijn|ALBERT HEIJN 1482 UTRECHT NLD|meals|card|Twijnstraat 36, 3511 ZM Utrecht
bakker|Bakkerij Van der Meer|CCV*BAKKERIJ VAN DER MEER|meals|card|Biltstraat 71, 3572 AH Utrecht
lunch|Lunch aan Huis B.V.|Lunch aan Huis BV via Mollie|meals|ideal|Atoomweg 12, 3542 AB Utrecht
ns|NS Reizigers B.V.|NS REIZIGERS UTRECHT CS 203|travel|card|Laan van Puntenburg 100, 3511 ER Utrecht
uov|U-OV Stadsvervoer|BCK*U-OV STADSVERVOER UTRECHT|travel|card|Europalaan 8, 3526 KS Utrecht
qpark|Q-Park Operations B.V.|Q-PARK CATHARIJNE 4471|travel|card|Stationsstraat 12, 3511 EE Utrecht
station|Station Office Utrecht|Station Office Utrecht|travel|card|Stationshal 9, 3511 CE Utrecht
shell|Shell Station De Meern|SHELL 2718 DE MEERN NLD|fuel|card|Rijksstraatweg 2, 3454 JB De Meern
kpn|KPN B.V.|KPN B.V. MOBIEL|telecom|debit|Wilhelminakade 123, 3072 AP Rotterdam
ziggo|Ziggo Zakelijk B.V.|ZIGGO ZAKELIJK BV|telecom|debit|Boven Vredenburgpassage 128, 3511 WR Utrecht
transip|TransIP B.V.|TRANSIP BV LEIDEN|software|debit|Vondellaan 47, 2332 AA Leiden
letter|Letterfabriek Software B.V.|LETTERFABRIEK SOFTWARE BV|software|debit|Kanaalweg 14, 3526 KL Utrecht
boekmaat|Boekmaatje Administratie B.V.|Boekmaatje Administratie|software|debit|Hoogoorddreef 5, 1101 BA Amsterdam
cloud|Cloudframe Ireland Ltd|CLOUDFRAME IRELAND LTD DUBLIN|software|transfer|Harcourt Road 22, D02 XE80 Dublin
krant|Domstad Dagblad B.V.|DOMSTAD DAGBLAD ABONNEMENTEN|subscriptions|debit|Drift 15, 3512 BR Utrecht
unie|Ontwerpersunie Nederland|Ontwerpersunie Nederland|subscriptions|transfer|Weesperstraat 5, 1018 DN Amsterdam
nn|Nationale-Nederlanden Schade|NATIONALE-NEDERLANDEN SCHADE|insurance|debit|Prinses Beatrixlaan 35, 2595 AK Den Haag
rent|Werkspoor Ateliers B.V.|WERKSPOOR ATELIERS BV|rent|debit|Tractieweg 41, 3534 AP Utrecht
hema|HEMA B.V.|BCK*HEMA UTRECHT EV154|office|card|Oudegracht 156, 3511 AZ Utrecht
kantoor|Office Centre B.V.|Office Centre BV|office|ideal|Franciscusdreef 68, 3565 AC Utrecht
postnl|PostNL|POSTNL POSTKANTOOR 3511|office|card|Neude 11, 3512 AE Utrecht
boek|Boekhandel Domplein|BOEKHANDEL DOMPLEIN UTRECHT|office|card|Domplein 6, 3512 JC Utrecht
noel|Boekbinderij Noël|Boekbinderij Noël|office|transfer|Voorstraat 88, 3512 AT Utrecht
hubo|Hubo Utrecht|HUBO UTRECHT 0231|office|card|Vleutenseweg 55, 3532 HB Utrecht
copy|Copyshop De Kopie|CCV*COPYSHOP DE KOPIE|office|card|Nobelstraat 20, 3512 EN Utrecht
printer|Printservice Noord|Printservice Noord|office|transfer|Gageldijk 3, 3566 ME Utrecht
coolblue|Coolblue B.V.|COOLBLUE BV ROTTERDAM|hardware|ideal|Weena 664, 3012 CN Rotterdam
camera|Cameraland B.V.|Cameraland BV|hardware|ideal|Meent 90, 3011 JP Rotterdam
pixel|Pixelprint Online B.V.|Pixelprint Online via Mollie|marketing|ideal|Celsiusweg 30, 8912 AN Leeuwarden
hethof|Drukkerij Het Hof|DRUKKERIJ HET HOF|marketing|transfer|Oude Haven 7, 3432 AA Nieuwegein
faber|Daniëlle Faber Fotografie|Daniëlle Faber Fotografie|marketing|transfer|Vleutenseweg 210, 3532 HN Utrecht
academie|Beeldacademie Online|Beeldacademie Online via Mollie|training|ideal|Plantage 4, 7311 AA Apeldoorn
cursus|Cursuscentrum Domstad|CURSUSCENTRUM DOMSTAD|training|card|Koningsbergerstraat 9, 3531 AJ Utrecht
schoon|Schoonmaakbedrijf Zilver|SCHOONMAAKBEDRIJF ZILVER|other|transfer|Savannahweg 17, 3542 AW Utrecht
bol|Bol.com|bol.com b.v.|office|ideal
gamma|Gamma|GAMMA UTRECHT 0417|office|card
tango|Tango|TANGO UTRECHT OVERVECHT|fuel|card
ikea|IKEA|IKEA UTRECHT NLD|office|card
driehoek|V.O.F. De Driehoek|VOF DE DRIEHOEK|other|transfer|Kerkstraat 2, 3581 RA Utrecht
jansen|Jansen & Zn|JANSEN EN ZN|other|card|Dorpsweg 51, 3738 CC Maartensdijk
vlot|Stichting Het Vlot|STG HET VLOT|other|transfer|Kade 19, 3531 EK Utrecht
"""
"""Key, name on the bill, name at the bank, category, how it is paid, address."""

_CUSTOMERS: Final = """
wending|Uitgeverij De Wending|UITGEVERIJ DE WENDING BV|sales|transfer
kraan|Architectenbureau Kraan & Co|Architectenbureau Kraan en Co|sales|transfer
stroom|Yogastudio Stroom|Yogastudio Stroom|sales|transfer
lumiere|Boekhandel Lumière|Boekhandel Lumière|sales|transfer
gemeente|Gemeente Utrecht|GEMEENTE UTRECHT CREDITEUREN|sales|transfer
tandarts|Tandartspraktijk Oog in Al|TANDARTSPRAKTIJK OOG IN AL|sales|transfer
festival|Stichting Lente aan de Vecht|Stg Lente aan de Vecht|sales|transfer
bellevue|Wijnhandel Bellevue|WIJNHANDEL BELLEVUE|sales|transfer
museum|Museum Het Kabinet|Museum Het Kabinet|sales|transfer
"""
"""Key, name on the bill, name at the bank, category, how they pay."""

_WITHOUT_BILL: Final = """
fee_ing|ING|Kosten Zakelijke Rekening|bank_fees|bank
fee_rabo|Rabobank|Kosten Rabo ZakelijkPakket|bank_fees|bank
fiscus|Belastingdienst|BELASTINGDIENST|tax|transfer
linde|E. Linde|E. Linde|private|transfer
atm_ing|Geldautomaat|ING GELDAUTOMAAT NEUDE|private|cash
atm_rabo|Geldautomaat|GELDMAAT VREDENBURG UTRECHT|private|cash
own|Studio Linde|Studio Linde|transfer|own
"""
"""Payments to and from these need no receipt."""


def _read(table: str) -> dict[str, Party]:
    parties: dict[str, Party] = {}
    for line in table.split("\n")[1:-1]:
        key, name, bank, category, how, *address = line.split("|")
        parties[key] = Party(
            name=name, bank=bank, category=category, how=How(how), address=address[0] if address else ""
        )
    return parties


SUPPLIERS: Final = _read(_SUPPLIERS)
CUSTOMERS: Final = _read(_CUSTOMERS)
WITHOUT_BILL: Final = _read(_WITHOUT_BILL)
PARTIES: Final = {**SUPPLIERS, **CUSTOMERS, **WITHOUT_BILL}
