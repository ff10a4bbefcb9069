"""A node group of the table → Karpenter's NodePool and EC2NodeClass. Text, as YAML."""

from datetime import timedelta

from onchain_agg.routing.sizing import largest_disk, of_node_group
from onchain_agg.routing.workloads import Workloads

# A node's disk also holds the system and images.
_SYSTEM_DISK = 50
_SMALLEST_DISK = 100
# Karpenter deletes what is left on a spot node then; the notice is as long.
_SPOT_NOTICE = "2m"


def karpenter_groups(table: Workloads) -> list[str]:
    """Return the node groups that workloads name; others are there with the cluster."""
    named = {one.node_group for one in (*table.queues.values(), *table.sizes.values())}
    return [group for group in table.node_groups if group in named]


def node_pool(group: str, table: Workloads) -> str:
    """Return the YAML of the NodePool and the EC2NodeClass of *group*."""
    spot = table.node_groups[group].capacity == "spot"
    limit = of_node_group(table, group)
    disk = max(_SMALLEST_DISK, -(-largest_disk(table, group) // 1024) + _SYSTEM_DISK)
    return _TEMPLATE.format(
        group=group,
        # A label's value may hold _, a name may not.
        name=group.replace("_", "-"),
        capacity="[spot, on-demand]" if spot else "[on-demand]",
        why_capacity=_SPOT_FIRST if spot else _NEVER_SPOT,
        why_end=_ON_SPOT if spot else _ON_DEMAND,
        end=_SPOT_NOTICE if spot else _seconds(_longest(table, group) + table.grace),
        cpu=-(-limit.cpu // 1000),
        memory=f"{-(-limit.memory // 1024)}Gi",
        disk=f"{disk}Gi",
    )


def _longest(table: Workloads, group: str) -> timedelta:
    workloads = (*table.queues.values(), *table.sizes.values())
    return max(one.timeout for one in workloads if one.node_group == group)


def _seconds(time: timedelta) -> str:
    return f"{int(time.total_seconds())}s"


_SPOT_FIRST = "Spot where there is some, else on-demand: a task that waits costs more than a node."
_NEVER_SPOT = "For what must not be interrupted."
_ON_SPOT = (
    "A pod that asks not to be disrupted gets no SIGTERM on a spot notice unless this is set."
)
_ON_DEMAND = "As long as a task may run and clean up: a node that expires waits for its pods."

_TEMPLATE = """\
# The nodes of group {group}. Made of the table of queues and sizes by
# `onchain-agg routing manifests deploy`; change the table, not this file.
apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: {name}
spec:
  template:
    metadata:
      labels:
        onchain-agg/node-group: "{group}"
    spec:
      nodeClassRef:
        group: karpenter.k8s.aws
        kind: EC2NodeClass
        name: {name}
      taints:
        - key: onchain-agg/node-group
          value: "{group}"
          effect: NoSchedule
      requirements:
        # {why_capacity}
        - key: karpenter.sh/capacity-type
          operator: In
          values: {capacity}
        - key: kubernetes.io/arch
          operator: In
          values: [amd64]
        - key: kubernetes.io/os
          operator: In
          values: [linux]
        # Wide on purpose: the more kinds of machine, the rarer an interruption.
        - key: karpenter.k8s.aws/instance-category
          operator: In
          values: [c, m, r]
        - key: karpenter.k8s.aws/instance-generation
          operator: Gt
          values: ["4"]
      expireAfter: 720h
      # {why_end}
      terminationGracePeriod: {end}
  disruption:
    # Moving a task to a cheaper node costs more than it saves.
    consolidationPolicy: WhenEmpty
    consolidateAfter: 2m
  # All that the queues and pools of the table let run at a time, and a quarter for the nodes.
  limits:
    cpu: "{cpu}"
    memory: {memory}
---
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata:
  name: {name}
spec:
  # A version, so that nodes change when somebody decides it.
  amiSelectorTerms:
    - alias: al2023@v20260903
  # As eksctl calls it.
  role: eksctl-KarpenterNodeRole-onchain-agg
  # Private ones alone: eksctl gives the cluster's tag to its public subnets too.
  subnetSelectorTerms:
    - tags:
        karpenter.sh/discovery: onchain-agg
        kubernetes.io/role/internal-elb: "1"
  securityGroupSelectorTerms:
    - tags:
        karpenter.sh/discovery: onchain-agg
  metadataOptions:
    httpEndpoint: enabled
    httpTokens: required
    # One hop ends at the node: no pod reads the node's credentials.
    httpPutResponseHopLimit: 1
  blockDeviceMappings:
    - deviceName: /dev/xvda
      ebs:
        volumeType: gp3
        volumeSize: {disk}
        encrypted: true
        deleteOnTermination: true
  tags:
    onchain-agg/node-group: "{group}"
"""
