package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestCoordinatorDir: it is beside the logs unless it is said where.
func TestCoordinatorDir(t *testing.T) {
	for want, sets := range map[string][]string{
		"sluice-data/coordinator": nil,
		"/d/coordinator":          {"log.dirs= /d/logs/ ,/e/logs"},
		"/e/coordinator":          {"log.dir=/e/logs"},
		"/c":                      {"log.dirs=/d/logs", "coordinator.dir=/c/"},
	} {
		v, err := Load(Input{Sets: sets})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := v.Coordinator(); err != nil || c.Dir != want {
			t.Errorf("%q: %q, %v; want %q", sets, c.Dir, err, want)
		}
	}
}

func TestCoordinator(t *testing.T) {
	v, err := Load(Input{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Coordinator()
	if err != nil {
		t.Fatal(err)
	}
	if c.Tick != 2*time.Second || c.MinSessionTimeout != 4*time.Second || c.MaxSessionTimeout != 40*time.Second || c.MaxPacketBytes != 0xfffff ||
		fmt.Sprint(c.Listeners, c.Words) != "[127.0.0.1:2181] [srvr]" || c.Dir != "sluice-data/coordinator" || len(c.SecureListeners) != 0 {
		t.Errorf("%+v", c)
	}
	b, err := v.Broker()
	if err != nil || fmt.Sprint(b.Coordinator) != fmt.Sprint(*c) {
		t.Error(err)
	}
}

func TestCoordinatorProblems(t *testing.T) {
	for _, x := range []struct{ sets, want string }{
		{"coordinator.listeners=here", `coordinator.listeners: "here" is not host:port`},
		{"coordinator.listeners=", "coordinator.listeners names no address"},
		{"coordinator.secure.listeners=:2281", "needs coordinator.ssl.keystore.location"},
		{"coordinator.secure.listeners=:2281", "coordinator.ssl.client.auth=required needs coordinator.ssl.truststore.location"},
		{"coordinator.tick.time.ms=3000 coordinator.max.session.timeout.ms=5000", "6000 ms, more than coordinator.max.session.timeout.ms, 5000 ms"},
		{"coordinator.admin.listener=x", "coordinator.admin.listener=x is not host:port"},
	} {
		v, err := Load(Input{Sets: strings.Fields(x.sets)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Coordinator(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", x.sets, err)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	k, _ := Lookup("coordinator.super.digest")
	if k.Shown("super:hash") != "[hidden]" || k.Shown("") != "" {
		t.Error(k.Shown("super:hash"))
	}
	if k, _ := Lookup("coordinator.dir"); k.Shown("x") != "x" {
		t.Error("hidden")
	}
}
