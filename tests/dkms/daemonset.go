// SPDX-License-Identifier: GPL-2.0
//
// Reads a DaemonSet as an API server does that is asked to be strict: with Kubernetes' own Go
// types, for which an unknown or doubled field and a value of another type are errors. Of what
// the server checks besides, only what is easily got wrong is checked here. Prints the script that
// the container runs.
package main

import (
	"fmt"
	"os"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func die(format string, words ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", words...)
	os.Exit(1)
}

// The server refuses a selector that doesn't match the pods.
func checkSelector(set *apps.DaemonSet) {
	selector, err := meta.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		die("selector: %v", err)
	}
	if selector.Empty() || !selector.Matches(labels.Set(set.Spec.Template.Labels)) {
		die("the selector '%v' doesn't match the pod's labels", selector)
	}
}

// And a mount of a volume that there isn't.
func checkVolumes(pod *core.PodSpec, container *core.Container) {
	known := map[string]bool{}
	for _, volume := range pod.Volumes {
		known[volume.Name] = true
	}
	for _, mount := range container.VolumeMounts {
		if !known[mount.Name] {
			die("no volume '%s'", mount.Name)
		}
	}
}

// The yaml package alone would take "readonly" for "readOnly".
func read(file string, set *apps.DaemonSet) {
	text, err := os.ReadFile(file)
	if err != nil {
		die("%v", err)
	}
	text, err = yaml.YAMLToJSONStrict(text)
	if err != nil {
		die("%s: %v", file, err)
	}
	strict, err := json.UnmarshalStrict(text, set)
	if err != nil {
		die("%s: %v", file, err)
	}
	for _, err := range strict {
		die("%s: %v", file, err)
	}
}

func main() {
	var set apps.DaemonSet

	if len(os.Args) != 2 {
		die("usage: daemonset FILE")
	}
	read(os.Args[1], &set)
	if set.APIVersion != "apps/v1" || set.Kind != "DaemonSet" {
		die("a %s of %s, not a DaemonSet of apps/v1", set.Kind, set.APIVersion)
	}
	checkSelector(&set)
	pod := &set.Spec.Template.Spec
	if len(pod.Containers) != 1 || len(pod.Containers[0].Command) != 3 {
		die("not one container with the command 'sh -c SCRIPT'")
	}
	checkVolumes(pod, &pod.Containers[0])
	fmt.Print(pod.Containers[0].Command[2])
}
