package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares what write gives with testdata/name.
func golden(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s differs (go test -run %s -rewrite shows the difference in git):\n%s", path, t.Name(), b.String())
	}
}

// histogram returns n latencies spread evenly up to top.
func histogram(n int, top time.Duration) *Histogram {
	h := NewHistogram()
	for i := range n {
		h.Record(int64(top) * int64(i+1) / int64(n))
	}
	return h
}

// shared is histogram, made once; nobody may record into it.
func shared(n int, top time.Duration) *Histogram {
	key := fmt.Sprint(n, top)
	if made[key] == nil {
		made[key] = histogram(n, top)
	}
	return made[key]
}

var made = map[string]*Histogram{}

func us(v float64) *float64 { return &v }

// sample is a run with everything in it, the same each time.
func sample() *Run {
	r := New("demo")
	r.Started = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	r.Command = []string{"sluice", "bench", "run", "--rate", "5000"}
	r.Bootstrap, r.Topic, r.Seed, r.DurationS, r.WarmupS = []string{"127.0.0.1:9092"}, "demo", 42, 10, 2.5
	r.Environment = &Environment{
		Host: "box", HostID: "9f8e7d", OS: "Debian GNU/Linux 12", Kernel: "6.1.0", Arch: "amd64", CPUModel: "Example CPU",
		Cores: 2, Virtual: true, MemoryBytes: 8 << 30, MemoryAvailableBytes: 4 << 30, DataDir: "/data",
		DataFileSystem: "ext4 (rw)", LoadAverage: [3]float64{0.5, 0.25, 0.1}, StealPercent: 0.125, GoVersion: "go1.26",
		GOMAXPROCS: 3, Commit: "1a2b3c4d5e6f", Dirty: true, Version: "v0.1.0", BuildFlags: []string{}, Client: "franz-go v1",
	}
	for i, acks := range []string{"0", "1", "all"} {
		n := []int{20_000, 100_000, 500}[i]
		s := &Series{
			Axes: Axes{Op: "produce", Acks: acks, Size: 1024, Partitions: 6, Producers: 1, BatchBytes: 1_000_012, Compression: "none",
				Engine: "franz-go", Arrival: "constant"},
			OfferedPerS: 5000, AchievedPerS: 4999.5, MBPerS: 5.119488, Records: int64(n),
			Verification: &Verification{OK: true, Claim: "all came back", Sent: 60, Acked: 60, Received: 60},
			Batches:      &Batches{Count: 10, Records: 5.5, Bytes: 5700, CompressedBytes: 5700},
			InFlight:     &InFlight{Bound: 10_000, Peak: 12},
			Generator:    &Usage{PID: 10, CPUSeconds: 2, UserSeconds: 1.5, SystemSeconds: 0.5, Cores: 0.2, RSSBytes: 30 << 20},
			Broker:       &Usage{PID: 11, CPUSeconds: 1, UserSeconds: 0.5, SystemSeconds: 0.5, Cores: 0.1, CPUSecondsPerGB: 20, RSSBytes: 12 << 20},
			OverTime: []Point{{T: 0, Seconds: 1, Sent: 5000, Completed: 5000, Received: 4990, P50: us(100), P99: us(1000), Max: us(2000),
				E2EP50: us(200), E2EP99: us(1500), E2EMax: us(2500)}, {T: 1, Seconds: 1}},
		}
		if acks == "0" {
			s.LatencyKind, s.LatencyMeaning = ToSocket, "intended time to written to the socket"
			s.SetHistogram(ToSocket, shared(n, 200*time.Microsecond))
		} else {
			s.LatencyKind, s.LatencyMeaning = Response, "intended time to acknowledgement"
			s.SetHistogram(Response, shared(n, 4*time.Millisecond))
			s.SetHistogram(Service, shared(n, 3*time.Millisecond))
		}
		s.SetHistogram(SendDelay, shared(n, 50*time.Microsecond))
		s.SetHistogram(EndToEnd, shared(n, 1500*time.Millisecond))
		r.Series = append(r.Series, s)
	}
	return r
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", func(w io.Writer) error { return WriteTable(w, sample()) })
}

// A run that failed in every way, with an axis besides acks, and one with nothing in it.
func TestTableOfBadRun(t *testing.T) {
	r := sample()
	r.Series[1].Size = 100
	r.Series[2].Verification = &Verification{Sent: 9, Acked: 8, Received: 5, Missing: 3, Duplicates: 1, Disorder: 2, Corrupt: 4, Foreign: 6}
	r.Series[2].SetHistogram(Response, NewHistogram())
	r.Notes = append(r.Notes, "the host took 12.0 % of the CPU time away")
	r.Invalid("acks=all: verification failed")
	golden(t, "table_bad.txt", func(w io.Writer) error {
		if err := WriteTable(w, r); err != nil {
			return err
		}
		fmt.Fprintln(w, "---")
		empty := New("none")
		empty.Started = r.Started
		return WriteTable(w, empty)
	})
}

func TestJSON(t *testing.T) {
	golden(t, "run.json", func(w io.Writer) error { return WriteJSON(w, sample()) })
}

// The names and types of the JSON form are a promise. A field may be added here; a
// change or removal of a line needs a new Schema.
func TestSchemaIsStable(t *testing.T) {
	var lines []string
	var walk func(prefix string, ty reflect.Type)
	walk = func(prefix string, ty reflect.Type) {
		switch ty.Kind() {
		case reflect.Pointer:
			walk(prefix+"?", ty.Elem())
		case reflect.Slice, reflect.Array:
			walk(prefix+"[]", ty.Elem())
		case reflect.Struct:
			if ty == reflect.TypeFor[time.Time]() {
				lines = append(lines, prefix+" time")
				return
			}
			for f := range ty.Fields() {
				tag := f.Tag.Get("json")
				switch {
				case f.Anonymous:
					walk(prefix, f.Type)
				case !f.IsExported():
				case tag == "":
					t.Errorf("%s.%s has no JSON name", ty, f.Name)
				default:
					name, _, optional := strings.Cut(tag, ",omitempty")
					if optional {
						name += " (omitted when empty)"
					}
					walk(strings.TrimPrefix(prefix+"."+name, "."), f.Type)
				}
			}
		default:
			lines = append(lines, prefix+" "+ty.Kind().String())
		}
	}
	walk("", reflect.TypeFor[Run]())
	golden(t, "schema.txt", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "schema %d\n%s\n", Schema, strings.Join(lines, "\n"))
		return err
	})
}

func TestHgrm(t *testing.T) {
	golden(t, "response.hgrm", func(w io.Writer) error { return WriteHgrm(w, histogram(20_000, 4*time.Millisecond)) })
}

func TestHlogReadsBack(t *testing.T) {
	r := sample()
	var b bytes.Buffer
	if err := WriteHlog(&b, r); err != nil {
		t.Fatal(err)
	}
	reader := hdr.NewHistogramLogReader(&b)
	var tags []string
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		tags = append(tags, h.Tag())
		if h.Tag() == "02-produce-acks1-response" {
			own := r.Series[1].Histogram(Response)
			if h.TotalCount() != own.Count() || h.ValueAtPercentile(99) != own.h.ValueAtPercentile(99) {
				t.Errorf("count %d, p99 %d", h.TotalCount(), h.ValueAtPercentile(99))
			}
		}
	}
	want := []string{"01-produce-acks0-to_socket", "01-produce-acks0-send_delay", "01-produce-acks0-end_to_end",
		"02-produce-acks1-response", "02-produce-acks1-service", "02-produce-acks1-send_delay", "02-produce-acks1-end_to_end",
		"03-produce-acksall-response", "03-produce-acksall-service", "03-produce-acksall-send_delay", "03-produce-acksall-end_to_end"}
	if !slices.Equal(tags, want) {
		t.Errorf("tags %q", tags)
	}
}

func TestHistogram(t *testing.T) {
	h := NewHistogram()
	if l := h.Summary(); l.Count != 0 || l.Mean != nil || l.Max != nil || l.P50 != nil || h.Mean() != 0 {
		t.Errorf("empty: %+v", l)
	}
	for _, v := range []int64{-5, 0, 99, int64(MaxLatency), int64(MaxLatency) + 1} {
		h.Record(v)
	}
	if h.Count() != 5 || h.Clamped() != 2 || h.Max() != int64(MaxLatency) {
		t.Errorf("count %d, clamped %d, max %d", h.Count(), h.Clamped(), h.Max())
	}
	a, b := histogram(1000, time.Second), histogram(1000, 2*time.Second)
	a.Merge(b)
	if a.Count() != 2000 || a.Max() != int64(2*time.Second) {
		t.Errorf("merged count %d, max %d", a.Count(), a.Max())
	}
	if got := time.Duration(a.Mean()); got < 750*time.Millisecond || got > 752*time.Millisecond {
		t.Errorf("mean %v", got)
	}
	a.Reset()
	if a.Count() != 0 || a.Max() != 0 || a.Mean() != 0 {
		t.Error("reset leaves something")
	}
	even := shared(100_000, time.Second)
	for _, p := range []float64{50, 90, 99, 99.9, 99.99} {
		want := int64(p / 100 * 1e9)
		got := even.Percentile(p)
		if got < want*999/1000 || got > want*1002/1000 {
			t.Errorf("p%v of an even spread is %d", p, got)
		}
	}
}

// A percentile needs ten samples above it.
func TestTenSamplesRule(t *testing.T) {
	for _, c := range []struct {
		n                            int
		p50, p90, p99, p999, p9999ok bool
	}{{19, false, false, false, false, false}, {20, true, false, false, false, false}, {100, true, true, false, false, false},
		{999, true, true, false, false, false}, {1000, true, true, true, false, false}, {10_000, true, true, true, true, false},
		{99_999, true, true, true, true, false}, {100_000, true, true, true, true, true}} {
		l := shared(c.n, time.Second).Summary()
		got := []bool{l.P50 != nil, l.P90 != nil, l.P99 != nil, l.P999 != nil, l.P9999 != nil}
		if !slices.Equal(got, []bool{c.p50, c.p90, c.p99, c.p999, c.p9999ok}) {
			t.Errorf("%d samples: %v", c.n, got)
		}
	}
}

func TestWriteFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	r := sample()
	path, err := Write(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(path) != "20260102T150405Z-demo-1a2b3c4-9f8e7d" {
		t.Errorf("folder %s", path)
	}
	all, _ := os.ReadDir(dir)
	files, _ := os.ReadDir(path)
	if len(all) != 1 || len(files) != 4+11 {
		t.Errorf("%d folders, %d files", len(all), len(files))
	}
	back, err := ReadFolder(path)
	if err != nil || back.Series[1].Response == nil || *back.Series[1].Response.P99 != *r.Series[1].Response.P99 {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if _, err := Write(dir, r); !errors.Is(err, ErrExists) {
		t.Errorf("second write: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(file, r); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("folder that is a file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "run.json"), []byte(`{"schema": 99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFolder(path); err == nil || !strings.Contains(err.Error(), "schema 99") {
		t.Errorf("later schema: %v", err)
	}
}

// The report stands alone and no input can become markup.
func TestReport(t *testing.T) {
	r := sample()
	evil := `</script><img src=x onerror=alert(1)>`
	r.Workload, r.Topic, r.Series[0].FirstError, r.Series[0].Compression = evil, evil, evil, evil
	r.Invalid(evil)
	r.Notes = append(r.Notes, evil)
	var b bytes.Buffer
	if err := WriteReport(&b, r); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if strings.Contains(page, "<img") {
		t.Error("input became markup")
	}
	if regexp.MustCompile(`(?i)(src|href|action)\s*=\s*["']?(https?:)?//|@import|url\(\s*["']?http`).MatchString(page) {
		t.Error("the page refers to an address outside")
	}
	for _, want := range []string{"default-src 'none'", "uPlot=function", "Not valid", "99.9", "prefers-color-scheme", `"nines":[0,0.02`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if err := WriteReport(io.Discard, New("empty")); err != nil {
		t.Errorf("empty run: %v", err)
	}
}

func TestHostFrom(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	root := fstest.MapFS{
		"proc/sys/kernel/hostname": file("box\n"), "proc/sys/kernel/osrelease": file("6.1.0\n"),
		"proc/cpuinfo": file("processor\t: 0\nmodel name\t: Example CPU\nflags\t\t: fpu hypervisor\n"),
		"proc/meminfo": file("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   500 kB\n"),
		"proc/loadavg": file("0.50 0.25 0.10 1/99 1234\n"), "etc/os-release": file("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"),
		"proc/self/mounts": file("/dev/a / ext4 rw 0 0\n/dev/b /data xfs rw,noatime 0 0\ntmpfs /database tmpfs rw 0 0\n"),
		"proc/stat":        file("cpu  10 20 30 40 50 60 70 80 5 5\ncpu0 1 2 3\n"),
	}
	e := hostFrom(root)
	if e.Host != "box" || len(e.HostID) != 6 || e.Kernel != "6.1.0" || e.CPUModel != "Example CPU" || !e.Virtual ||
		e.MemoryBytes != 1000<<10 || e.MemoryAvailableBytes != 500<<10 || e.LoadAverage != [3]float64{0.5, 0.25, 0.1} || e.OS != "Debian 12" {
		t.Errorf("%+v", e)
	}
	for path, want := range map[string]string{"/data/x": "xfs (rw,noatime)", "/database": "tmpfs (rw)", "/dat": "ext4 (rw)"} {
		if got := fileSystem(root, path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	if c := cpuTimeFrom(root); c.Total != 360 || c.Steal != 80 || c.StealSince(CPUTime{Total: 160, Steal: 70}) != 5 || c.StealSince(c) != 0 {
		t.Errorf("%+v", c)
	}
	if none := hostFrom(fstest.MapFS{}); none.Kernel != "" || none.GoVersion == "" {
		t.Errorf("%+v", none)
	}
	if h := Host(); h.Kernel == "" || h.GOMAXPROCS < 1 {
		t.Errorf("%+v", h)
	}
}

func TestFormats(t *testing.T) {
	for in, want := range map[float64]string{0: "0.00 µs", 8.5: "8.50 µs", 87.34: "87.3 µs", 999.4: "999 µs", 999.6: "1.00 ms",
		4100: "4.10 ms", 123456: "123 ms", 999_600: "1.00 s", 12_345_678: "12.3 s"} {
		if got := FormatLatency(&in); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := FormatCount(in); got != want {
			t.Errorf("%v: %q", in, got)
		}
	}
	for in, want := range map[int64]string{1024: "1,024 B", 12_100_000: "12.1 MB", 8_330_000_000: "8.33 GB"} {
		if got := FormatBytes(in); got != want {
			t.Errorf("%v: %q", in, got)
		}
	}
	if FormatLatency(nil) != dash {
		t.Error("nil latency")
	}
	var l Latency
	if err := json.Unmarshal([]byte(`{"count":1,"p99_9":null,"p99_99":2.5}`), &l); err != nil || l.P999 != nil || *l.P9999 != 2.5 {
		t.Errorf("%+v, %v", l, err)
	}
}
