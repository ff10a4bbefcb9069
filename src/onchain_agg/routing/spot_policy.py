"""The table → the cluster's policy for pods that may run on spot nodes. Text, as YAML."""

from onchain_agg.routing.workloads import Workloads


def spot_policy(table: Workloads) -> str:
    """Return the YAML of the policy that refuses a pod with more grace than a spot node gives."""
    spot = [name for name, group in table.node_groups.items() if group.capacity == "spot"]
    return _TEMPLATE.format(
        groups=", ".join(f"'{name}'" for name in spot),
        grace=int(table.grace.total_seconds()),
    )


# Filled by str.format. A pod without a toleration of a group's taint gets none of its nodes, so
# tolerations tell where it may run unless it selects a group.
_TEMPLATE = """\
# A pod on a spot node ends before the node does. Made of the table of queues and sizes by
# `onchain-agg routing manifests deploy`; change the table, not this file.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: onchain-agg-spot-grace
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE]
        resources: [pods]
      - apiGroups: [apps]
        apiVersions: [v1]
        operations: [CREATE, UPDATE]
        resources: [deployments, statefulsets, daemonsets]
      - apiGroups: [batch]
        apiVersions: [v1]
        operations: [CREATE, UPDATE]
        resources: [jobs]
  matchConditions:
    # What is being deleted changes once more, when its finalizers go.
    - name: stays
      expression: "!has(object.metadata.deletionTimestamp)"
  variables:
    - name: spec
      expression: "object.kind == 'Pod' ? object.spec : object.spec.template.spec"
    - name: spot
      expression: "[{groups}]"
    - name: selected
      expression: variables.spec.?nodeSelector[?'onchain-agg/node-group'].orValue('')
    - name: tolerates
      expression: >-
        variables.spec.?tolerations.orValue([]).exists(one,
        one.?key.orValue('') in ['', 'onchain-agg/node-group'] &&
        (one.?operator.orValue('Equal') == 'Exists' || one.?value.orValue('') in variables.spot))
    - name: grace
      expression: variables.spec.?terminationGracePeriodSeconds.orValue(30)
  validations:
    - expression: >-
        variables.grace <= {grace} || !(variables.selected in variables.spot ||
        (variables.selected == '' && variables.tolerates))
      messageExpression: >-
        'terminationGracePeriodSeconds of ' + string(variables.grace) +
        ' is longer than a spot node gives. Ask for {grace} at most,' +
        ' or select a node group that is on demand.'
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: onchain-agg-spot-grace
spec:
  policyName: onchain-agg-spot-grace
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels:
        pod-security.kubernetes.io/enforce: restricted
"""
