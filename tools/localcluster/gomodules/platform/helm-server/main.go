// Helm-server runs many commands of Helm in one process, one after the other, for tests that render hundreds of times: a
// third of the time of each of them is what Helm's packages prepare at its start. It reads one command a line, and writes
// one line with what Helm has written and its exit status, both as JSON objects.
//
// Helm's own main also names itself as the manager of fields, knows ways to authenticate, and logs in another format, which
// makes no difference to `helm template`. Of Helm's global options, a command may set its namespace only: others would
// stay set for the commands after it.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	helmcmd "helm.sh/helm/v4/pkg/cmd"
)

type command struct {
	Directory string   `json:"directory"`
	Arguments []string `json:"arguments"`
}

type answer struct {
	Code   int    `json:"code"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

func main() {
	answers := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr // some commands of Helm print to it
	commands := bufio.NewReader(os.Stdin)
	for {
		line, err := commands.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		var next command
		if err == nil {
			err = json.Unmarshal(line, &next)
		}
		if err == nil {
			err = os.Chdir(next.Directory)
		}
		if err == nil {
			err = answers.Encode(run(append([]string{"--namespace=default"}, next.Arguments...)))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "helm-server:", err)
			os.Exit(1)
		}
	}
}

// Runs a command as Helm's own main does, and returns what it writes.
func run(arguments []string) answer {
	var stdout, stderr bytes.Buffer
	helm, err := helmcmd.NewRootCmd(&stdout, arguments, func(bool) {
		slog.SetDefault(slog.New(slog.NewTextHandler(&stderr, nil)))
	})
	if err == nil {
		helm.SetArgs(arguments)
		helm.SetOut(&stdout)
		helm.SetErr(&stderr)
		err = helm.Execute()
	}
	code := 0
	if err != nil {
		code = 1
		if failed, ok := errors.AsType[helmcmd.CommandError](err); ok {
			code = failed.ExitCode
		}
	}
	return answer{code, stdout.String(), stderr.String()}
}
