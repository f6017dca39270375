// Flux-health says what Flux's wait sees of objects: by the rules of kstatus alone, and with the healthCheckExprs of a
// HelmRelease or Kustomization.
//
// Standard input is {"healthCheckExprs": [...], "objects": [...]}. Standard output is a list of
// {"kstatus", "expressions"}, one per object. The latter is Unknown where an expression can't be evaluated, such as on
// an object without a status: Flux then keeps waiting.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type question struct {
	Checks  []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
	Objects []*unstructured.Unstructured  `json:"objects"`
}

type answer struct {
	Kstatus     status.Status `json:"kstatus"`
	Expressions status.Status `json:"expressions"`
}

func main() {
	log.SetFlags(0)
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	answers, err := answered(asked)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func answered(asked question) ([]answer, error) {
	checks, err := evaluators(asked.Checks)
	if err != nil {
		return nil, err
	}
	answers := []answer{}
	for _, object := range asked.Objects {
		alone, err := status.Compute(object)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer{alone.Status, evaluated(checks, object, alone.Status)})
	}
	return answers, nil
}

func evaluated(checks map[schema.GroupKind]*cel.StatusEvaluator, object *unstructured.Unstructured, alone status.Status) status.Status {
	check, has := checks[object.GroupVersionKind().GroupKind()]
	if !has {
		return alone
	}
	found, err := check.Evaluate(context.Background(), object)
	if err != nil {
		return status.UnknownStatus
	}
	return found.Status
}

func evaluators(checks []kustomize.CustomHealthCheck) (map[schema.GroupKind]*cel.StatusEvaluator, error) {
	found := map[schema.GroupKind]*cel.StatusEvaluator{}
	for _, check := range checks {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return nil, err
		}
		found[schema.FromAPIVersionAndKind(check.APIVersion, check.Kind).GroupKind()] = evaluator
	}
	return found, nil
}
