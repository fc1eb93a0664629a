"""Before and after: is a tuned model less safe, less useful or more squeamish than its base, by more than it may be?"""

from safebasin.audit.planning import AuditPlan, plan_audit
from safebasin.audit.policy import Policy, load_policy
from safebasin.audit.records import AuditVerdict
from safebasin.audit.run import Audited, audit

__all__ = ["AuditPlan", "AuditVerdict", "Audited", "Policy", "audit", "load_policy", "plan_audit"]
