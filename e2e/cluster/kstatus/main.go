// Command kstatus reads Kubernetes objects (a stream of YAML or JSON) and writes one line of JSON
// for each: the status that sigs.k8s.io/cli-utils computes for it and, with --lua, the health that
// Argo CD would see with that script. It exits with 1 when an object or the script can't be read.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// line is what is told about one object.
type line struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Status is kstatus's verdict: Current, InProgress, Failed, Terminating, NotFound or Unknown.
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
	// Health is the script's verdict; absent without a script.
	Health *health `json:"health,omitempty"`
}

func main() {
	script := flag.String("lua", "", "a health script in Lua, as in Argo CD's resource.customizations.health")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *script); err != nil {
		fmt.Fprintf(os.Stderr, "kstatus: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, script string) error {
	source := ""
	if script != "" {
		bytes, err := os.ReadFile(script)
		if err != nil {
			return err
		}
		source = string(bytes)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(in, 4096)
	encoder := json.NewEncoder(out)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no YAML or JSON object: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := each(object, func(item *unstructured.Unstructured) error {
			told, err := judge(item, source)
			if err != nil {
				return err
			}
			return encoder.Encode(told)
		}); err != nil {
			return err
		}
	}
}

// each calls visit for the object, or for every item of a list.
func each(object *unstructured.Unstructured, visit func(*unstructured.Unstructured) error) error {
	if !object.IsList() {
		return visit(object)
	}
	list, err := object.ToList()
	if err != nil {
		return err
	}
	for index := range list.Items {
		if err := visit(&list.Items[index]); err != nil {
			return err
		}
	}
	return nil
}

func judge(object *unstructured.Unstructured, script string) (*line, error) {
	normal, err := withWholeNumbers(object)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s %s", normal.GetKind(), normal.GetName())
	result, err := status.Compute(normal)
	if err != nil {
		return nil, fmt.Errorf("kstatus of %s: %w", name, err)
	}
	told := &line{
		Kind:      normal.GetKind(),
		Namespace: normal.GetNamespace(),
		Name:      normal.GetName(),
		Status:    result.Status.String(),
		Message:   result.Message,
	}
	if script != "" {
		if told.Health, err = runHealth(normal, script); err != nil {
			return nil, fmt.Errorf("health of %s: %w", name, err)
		}
	}
	return told, nil
}

// withWholeNumbers decodes again as Kubernetes clients do: whole numbers as integers. Without it
// a generation would be a float, which kstatus doesn't take for a generation.
func withWholeNumbers(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	bytes, err := json.Marshal(object.Object)
	if err != nil {
		return nil, err
	}
	normal := &unstructured.Unstructured{}
	if err := normal.UnmarshalJSON(bytes); err != nil {
		return nil, err
	}
	return normal, nil
}
