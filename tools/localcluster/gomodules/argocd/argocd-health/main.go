// Argocd-health says how healthy Argo CD finds objects: with the health checks of a ConfigMap argocd-cm, in Argo CD's
// own Lua runtime and by its own order of rules.
//
// Standard input is {"data": {...}, "objects": [...]}, with the data of argocd-cm. Standard output is a list of
// {"status", "message"}, one per object. The status is empty where Argo CD has no rule.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Prefixes of the keys of argocd-cm, as Argo CD's util/settings/settings.go reads them without exporting them.
const (
	healthKey  = "resource.customizations.health."
	libraryKey = "resource.customizations.useOpenLibs."
)

type question struct {
	Data    map[string]string            `json:"data"`
	Objects []*unstructured.Unstructured `json:"objects"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	checks := overrides(asked.Data)
	answers := []health.HealthStatus{}
	for _, object := range asked.Objects {
		found, err := health.GetResourceHealth(object, checks)
		if err != nil {
			return err
		}
		if found == nil {
			found = &health.HealthStatus{}
		}
		answers = append(answers, *found)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func overrides(data map[string]string) lua.ResourceHealthOverrides {
	found := lua.ResourceHealthOverrides{}
	for key, script := range data {
		if kind, is := strings.CutPrefix(key, healthKey); is {
			libraries := data[libraryKey+kind] == "true"
			name := strings.Replace(kind, "_", "/", 1)
			found[name] = v1alpha1.ResourceOverride{HealthLua: script, UseOpenLibs: libraries}
		}
	}
	return found
}
