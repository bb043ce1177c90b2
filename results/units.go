package results

import (
	"fmt"
	"strconv"
)

const dash = "–"

// FormatLatency renders microseconds with three significant digits and the unit
// that suits: "87.3 µs", "4.10 ms", "1.25 s"; a dash for nil.
func FormatLatency(us *float64) string {
	if us == nil {
		return dash
	}
	switch v := *us; {
	case v < 999.5:
		return significant(v) + " µs"
	case v < 999_500:
		return significant(v/1e3) + " ms"
	default:
		return significant(v/1e6) + " s"
	}
}

func significant(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

// FormatCount renders a number with thousands separated by commas, without decimals.
func FormatCount(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	neg := ""
	if s[0] == '-' {
		neg, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return neg + s
}

// FormatBytes renders a number of bytes: "1,024 B", "12.1 MB", "8.33 GB" (powers of ten).
func FormatBytes(n int64) string {
	switch v := float64(n); {
	case v < 1e5:
		return FormatCount(v) + " B"
	case v < 1e9:
		return significant(v/1e6) + " MB"
	default:
		return significant(v/1e9) + " GB"
	}
}

func formatRate(v float64) string {
	if v > 0 && v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return FormatCount(v)
}
