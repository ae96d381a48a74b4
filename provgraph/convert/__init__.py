"""Records to PROV-O, and one file per foreign format in or out."""
