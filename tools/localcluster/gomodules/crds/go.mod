module programs/crds

go 1.26.0

// Nothing is built from these: their CustomResourceDefinitions are what tests need.
require (
	github.com/envoyproxy/gateway v1.9.1
	github.com/kedacore/keda/v2 v2.21.0
	sigs.k8s.io/gateway-api v1.6.3
	sigs.k8s.io/gateway-api-inference-extension v1.6.0
)
