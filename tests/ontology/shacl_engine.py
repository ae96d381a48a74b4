"""pySHACL over many record graphs, in a process of its own: it patches rdflib for whoever shares it.

    python shacl_engine.py SHAPES_FOLDER < graphs.json > conforms.json

Graphs are N-Triples texts; the answer is a list of booleans.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import pyshacl  # noqa: E402
from rdflib import Graph  # noqa: E402

shapes = Graph()
for path in sorted(Path(sys.argv[1]).glob("*.ttl")):
    shapes.parse(path, format="turtle")
answers = []
for text in json.load(sys.stdin):
    graph = Graph().parse(data=text, format="nt")
    conforms, _, _ = pyshacl.validate(graph, shacl_graph=shapes, inference="none", advanced=False)
    answers.append(bool(conforms))
json.dump(answers, sys.stdout)
