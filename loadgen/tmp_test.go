package loadgen

import (
	"context"
	"os"
	"testing"
	"time"
	"strings"
	"strconv"

	"github.com/sluice-mq/sluice/results"
)

func TestTmp(t *testing.T) {
	d, _ := time.ParseDuration(os.Getenv("D"))
	rate, _ := strconv.ParseFloat(os.Getenv("R"), 64)
	boot := strings.Fields(os.Getenv("B"))
	if len(boot) == 0 { boot = fakeCluster(t) }
	pid, _ := strconv.Atoi(os.Getenv("P"))
	run, err := Run(context.Background(), Spec{
		Bootstrap: boot, Rate: rate, Duration: d, Warmup: 2*time.Second,
		Size: 1024, Partitions: 3, Producers: 2, Seed: 7, BrokerPID: pid, Command: []string{"sluice", "bench", "run", "--rate", os.Getenv("R")},
	}, nil)
	if err != nil { t.Fatal(err) }
	results.WriteTable(os.Stdout, run)
	for _, s := range run.Series { t.Logf("%+v %+v %+v", *s.InFlight, s.Batches, s.Generator); t.Log(results.FormatLatency(s.SendDelay.P50), results.FormatLatency(s.SendDelay.P99), results.FormatLatency(s.SendDelay.Max)) }
	p, err := results.Write("/tmp/h4/runs", run)
	t.Log(p, err)
}
