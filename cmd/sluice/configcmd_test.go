package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConfigCheck(t *testing.T) {
	good := writeFile(t, "num.partitions=4\nzookeeper.set.acl=true\n")
	r := sluice(t, "", "config", "check", good)
	r.want(t, exitOK, "The configuration is valid. Set besides defaults: 1\n", "warning: zookeeper.set.acl (server.properties:2) has no effect")
	if !strings.Contains(r.stdout, "num.partitions  4      server.properties:1") {
		t.Errorf("%s", r.stdout)
	}
	bad := writeFile(t, "num.partition=4\nbroker.id=1\n")
	r = sluice(t, "", "config", "check", bad, "--set", "node.id=2", "--set", "log.dirs=,")
	for _, want := range []string{
		`server.properties:1: unknown key "num.partition", did you mean num.partitions?`,
		"server.properties:2: broker.id=1 and node.id=2",
		"log.dirs names no directory",
	} {
		r.want(t, exitConfig, "", want)
	}
	sluice(t, "", "config", "check", filepath.Join(t.TempDir(), "none")).want(t, exitConfig, "", "no such file")
	sluice(t, "", "config", "check", good, "--config", good).want(t, exitUsage, "", "named twice")
	sluice(t, "", "config", "check").want(t, exitOK, "Set besides defaults: 0\n", "")
}

func TestConfigFromEnvironment(t *testing.T) {
	env := []string{envConfig + "=" + writeFile(t, "num.partitions=4\n"), "SLUICE_NODE_ID=9", envBootstrap + "=x:1", "SLUICE_NODEID=1"}
	r := sluiceWith(t.Context(), nil, env, "config", "check")
	r.want(t, exitConfig, "", "unknown variable SLUICE_NODEID, did you mean SLUICE_NODE_ID?")
	r = sluiceWith(t.Context(), nil, env[:3], "config", "explain", "node.id", "num.partitions", "-o", "csv")
	r.want(t, exitOK, "node.id,broker,9,SLUICE_NODE_ID,", "")
	r.want(t, exitOK, "num.partitions,broker,4,server.properties:1,", "")
}

func TestConfigExplain(t *testing.T) {
	r := sluice(t, "", "config", "explain", "log.dirs", "--data", "/d")
	r.want(t, exitOK, "value        /d/logs (--data)", "")
	r.want(t, exitOK, "environment  SLUICE_LOG_DIRS", "")
	list := fromJSON[[]explanation](t, sluice(t, "", "config", "explain", "min.insync.replicas", "-o", "json", "--set", "min.insync.replicas=2"))
	if len(list) != 2 || list[0].Scope != "broker" || list[1].Scope != "topic" || *list[1].Value != "2" || list[1].Source != "broker" {
		t.Errorf("%+v", list)
	}
	all := fromJSON[[]explanation](t, sluice(t, "", "config", "explain", "-o", "json"))
	if len(all) < 60 {
		t.Errorf("%d keys", len(all))
	}
	sluice(t, "", "config", "explain", "log.dir.s").want(t, exitUsage, "", "did you mean log.dirs?")
	sluice(t, "", "config", "explain", "zookeeper.set.acl").want(t, exitFailed, "", "without effect here")
}
