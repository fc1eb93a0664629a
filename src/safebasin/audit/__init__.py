"""Before and after: is a tuned model less safe, less useful or more squeamish than its base, by more than it may be?

basin        margin and radius of both, on random directions of the same seeds
candidate    what TUNED is: a checkpoint on the line from BASE, an adapter, or a model asked as it ships
deciding     what is made of the answers: both models asked under every condition, compared, and decided
evidence     clusters of prompts, the level of a look, the mistakes of the judge
fleet        many tuned models of one base: BASE asked once, all decided at one level
labelled     how often the judges of an audit err, from labels of its own responses
looks        which prompts a folder was judged on before, so that looking again is seen
measurement  both models asked the same: the studies behind an audit, and their verdicts as arrays
metrics      from verdicts to metrics: what each one counts as bad, by which judge, on which prompts
planning     what an audit would ask, and how likely a harmless tune is to pass it, before any model is loaded
policy       what a tuned model may lose: a file of limits, one non-inferiority margin a metric
reading      `verdict.json` read back as the record it was
records      what an audit found, as frozen records that become `verdict.json` one to one
recounting   the verdict once more, from the rows of its folder alone
run          the audit itself: find both models, ask them the same, decide, write `verdict.json` and the page
schema       the JSON Schema of policy files, for editors, and a policy file to begin with
serving      what decides a response beside the weights, and where BASE and TUNED would differ in it
sets         the prompt sets: which roles they have, what is left out, what cannot be
verdict      `verdict.json`: the decision in words, the document, its schema, and writing it whole or not at all
"""

from safebasin.audit.fleet import Fleet, FleetAudited, audit_fleet, find_fleet
from safebasin.audit.planning import AuditPlan, plan_audit
from safebasin.audit.policy import Policy, load_policy
from safebasin.audit.records import AuditVerdict
from safebasin.audit.run import Audited, audit
from safebasin.verbs import make_callable

__all__ = [
    "AuditPlan",
    "AuditVerdict",
    "Audited",
    "Fleet",
    "FleetAudited",
    "Policy",
    "audit",
    "audit_fleet",
    "find_fleet",
    "load_policy",
    "plan_audit",
]

make_callable(__name__)
