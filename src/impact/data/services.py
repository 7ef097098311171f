"""The services whose contacts are counted."""

SERVICES = (
    "gp",
    "gp_emergency",
    "nurse",
    "ae",
    "outpatient",
    "emergency_admission",
    "elective_admission",
    "day_case",
    "ambulance",
    "nhs111",
    "community",
    "mental_health",
)
STAYS = ("emergency_admission", "elective_admission")
