package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildVersion may be set with -ldflags "-X main.buildVersion=v1.2.3"; otherwise
// the module's version is shown, as far as the build knows it.
var buildVersion string

// versionInfo is what the version verb shows; the JSON names are stable.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Time     string `json:"commit_time"`
	Modified bool   `json:"modified"` // the tree had changes that are not in the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func currentVersion() versionInfo {
	v := versionInfo{Version: buildVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show version, commit, Go release and platform",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := currentVersion()
			commit := v.Commit
			if v.Modified {
				commit += " (modified)"
			}
			t := table{columns: []column{{name: "name"}, {name: "value"}}, data: v}
			t.add("version", v.Version)
			t.add("commit", commit)
			t.add("commit_time", v.Time)
			t.add("go", v.Go)
			t.add("platform", v.Platform)
			if format == "table" {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "sluice %s, commit %s, %s, %s\n",
					orUnknown(v.Version), orUnknown(commit), v.Go, v.Platform)
				return err
			}
			return t.write(cmd.OutOrStdout(), format)
		},
	}
	addOutput(cmd, &format)
	return cmd
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
