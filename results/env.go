package results

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Environment says what a run was made on. What a system does not tell stays empty.
type Environment struct {
	Host        string `json:"host"`
	HostID      string `json:"host_id"` // six hex digits that tell hosts apart without naming them
	OS          string `json:"os"`
	Kernel      string `json:"kernel"`
	Arch        string `json:"arch"`
	CPUModel    string `json:"cpu_model"`
	Cores       int    `json:"cores"` // logical, usable by this process
	Governor    string `json:"governor,omitempty"`
	Virtual     bool   `json:"virtual"` // the CPU says that it runs under a hypervisor
	MemoryBytes int64  `json:"memory_bytes"`

	MemoryAvailableBytes int64 `json:"memory_available_bytes"` // when the run began

	DataDir        string `json:"data_dir,omitempty"` // the broker's, where known
	DataFileSystem string `json:"data_file_system,omitempty"`

	LoadAverage  [3]float64 `json:"load_average"`  // when the run began
	StealPercent float64    `json:"steal_percent"` // CPU time taken by the host during the run

	GoVersion  string   `json:"go_version"`
	GOMAXPROCS int      `json:"gomaxprocs"`
	Commit     string   `json:"commit"` // of the measuring program; empty when built outside of its repository
	Dirty      bool     `json:"dirty"`
	Version    string   `json:"version"`     // of its module
	BuildFlags []string `json:"build_flags"` // those that cost speed: race, tags
	Client     string   `json:"client"`      // client library and version
}

// Host describes this machine and this program.
func Host() *Environment {
	e := hostFrom(os.DirFS("/"))
	e.GOMAXPROCS = runtime.GOMAXPROCS(0)
	if info, ok := debug.ReadBuildInfo(); ok {
		e.build(info)
	}
	return e
}

// hostFrom reads /proc, /sys and /etc below root.
func hostFrom(root fs.FS) *Environment {
	e := &Environment{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), GoVersion: runtime.Version(),
		BuildFlags: []string{},
	}
	e.Host = firstLine(root, "proc/sys/kernel/hostname")
	id := sha256.Sum256([]byte(firstLine(root, "etc/machine-id") + e.Host))
	e.HostID = hex.EncodeToString(id[:3])
	e.Kernel = firstLine(root, "proc/sys/kernel/osrelease")
	e.Governor = firstLine(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	e.OS = osName(root)
	for line := range lines(root, "proc/cpuinfo") {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name", "Model":
			e.CPUModel = strings.TrimSpace(value)
		case "flags":
			e.Virtual = strings.Contains(value+" ", " hypervisor ")
		}
	}
	for line := range lines(root, "proc/meminfo") {
		if f := strings.Fields(line); len(f) >= 2 {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			switch f[0] {
			case "MemTotal:":
				e.MemoryBytes = kb << 10
			case "MemAvailable:":
				e.MemoryAvailableBytes = kb << 10
			}
		}
	}
	for i, f := range strings.Fields(firstLine(root, "proc/loadavg")) {
		if i < len(e.LoadAverage) {
			e.LoadAverage[i], _ = strconv.ParseFloat(f, 64)
		}
	}
	return e
}

func osName(root fs.FS) string {
	for line := range lines(root, "etc/os-release") {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return runtime.GOOS
}

// build takes over what the Go linker recorded.
func (e *Environment) build(info *debug.BuildInfo) {
	e.Version = info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			e.Commit = s.Value
		case s.Key == "vcs.modified":
			e.Dirty = s.Value == "true"
		case s.Key == "-race" && s.Value == "true":
			e.BuildFlags = append(e.BuildFlags, "race")
		case s.Key == "-tags" && s.Value != "":
			e.BuildFlags = append(e.BuildFlags, "tags="+s.Value)
		}
	}
	const engine = "github.com/twmb/franz-go"
	for _, d := range info.Deps {
		if d.Path == engine {
			e.Client = d.Path + " " + d.Version
		}
	}
}

// SetDataDir records where the broker keeps its data, and on what file system.
// The path has to be absolute.
func (e *Environment) SetDataDir(path string) {
	e.DataDir, e.DataFileSystem = path, fileSystem(os.DirFS("/"), path)
}

// fileSystem returns "type (options)" of the mount that holds path.
func fileSystem(root fs.FS, path string) string {
	best, found := "", ""
	for line := range lines(root, "proc/self/mounts") {
		f := strings.Fields(line)
		if len(f) < 4 || !within(path, f[1]) || len(f[1]) < len(best) {
			continue
		}
		best, found = f[1], f[2]+" ("+f[3]+")"
	}
	return found
}

func within(path, mount string) bool {
	return mount == "/" || path == mount || strings.HasPrefix(path, mount+"/")
}

// CPUTime is the machine's CPU time since it booted, in clock ticks.
type CPUTime struct{ Total, Steal int64 }

// ReadCPUTime reads /proc/stat; it is zero where there is none.
func ReadCPUTime() CPUTime { return cpuTimeFrom(os.DirFS("/")) }

func cpuTimeFrom(root fs.FS) (t CPUTime) {
	f := strings.Fields(firstLine(root, "proc/stat"))
	for i := 1; i < len(f) && i <= 8; i++ { // guest time, in the later fields, is part of user time
		n, _ := strconv.ParseInt(f[i], 10, 64)
		t.Total += n
		if i == 8 {
			t.Steal = n
		}
	}
	return t
}

// StealSince returns the share of CPU time that the host took between the two
// readings, in percent.
func (t CPUTime) StealSince(before CPUTime) float64 {
	total := t.Total - before.Total
	if total <= 0 {
		return 0
	}
	return float64(t.Steal-before.Steal) * 100 / float64(total)
}

func firstLine(root fs.FS, name string) string {
	for line := range lines(root, name) {
		return line
	}
	return ""
}

// lines yields the lines of a small file, none when it cannot be read.
func lines(root fs.FS, name string) func(func(string) bool) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return func(func(string) bool) {}
	}
	text := strings.TrimSuffix(string(data), "\n")
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			if !yield(line) {
				return
			}
		}
	}
}
