"""Names that try to be more than text, and some that are only long or written differently."""

# After the OWASP filter evasion cheat sheet: markup, attributes, protocols, templates, writing direction.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title></style></textarea><script>alert(1)</script>",
    "javascript:alert(1)//",
    "{{ 1234567 * 8 }}{% raw %}",
    "<!--<script>-->",
    "\u202egnp.exe",
    "نموذج الاحتيال",
    "🧪" * 40 + "👩🏽‍🔬",
    "a" * 3000,
)
