//go:build tools

// Package tools names the programs of a control plane, so that go.sum pins what they are built from.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
