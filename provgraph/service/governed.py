"""The functions of `provgraph.service.governing` and `describing` as `import provgraph` offers them: they never raise."""

from __future__ import annotations

from provgraph.service import describing, governing
from provgraph.service.guarding import guarded

approve = guarded(governing.approve)
assess_change = guarded(governing.assess_change)
assign = guarded(governing.assign)
deploy = guarded(governing.deploy)
describe = guarded(describing.describe)
gate_decision = guarded(governing.gate_decision)
register = guarded(governing.register)
remediate = guarded(governing.remediate)
respond = guarded(governing.respond)
retract = guarded(governing.retract)
undeploy = guarded(governing.undeploy)
validate = guarded(governing.validate)
waive = guarded(governing.waive)
withdraw = guarded(governing.withdraw)
