package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// reason is what is wrong with a value, in the words and with the capitals that
// Kafka sends to clients.
type reason string

func (r reason) Error() string { return string(r) }

// check tells what is wrong with text as a value of k, in the words of Kafka's
// ConfigDef (parseType and its validators), or returns nil.
func (k *Key) check(text string) error {
	text = strings.TrimSpace(text)
	switch k.Type {
	case Boolean:
		if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
			return reason("Expected value to be either true or false")
		}
	case Int, Short, Long:
		bits := map[Type]int{Short: 16, Int: 32, Long: 64}[k.Type]
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return reason("Not a number of type " + strings.ToUpper(k.Type.String()))
		}
		return k.checkBounds(float64(n))
	case Double:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) {
			return reason("Not a number of type DOUBLE")
		}
		return k.checkBounds(f)
	case List:
		return k.checkElements(text)
	default:
		if k.Allowed != nil && !slices.Contains(k.Allowed, text) {
			return reason("String must be one of: " + strings.Join(k.Allowed, ", "))
		}
	}
	return nil
}

func (k *Key) checkBounds(n float64) error {
	switch {
	case k.HasMin && n < k.Min:
		return reason("Value must be at least " + number(k.Min))
	case k.HasMax && n > k.Max:
		return reason("Value must be no more than " + number(k.Max))
	}
	return nil
}

func (k *Key) checkElements(text string) error {
	if k.replicas {
		return checkReplicas(k.Name, text)
	}
	if k.Allowed == nil {
		return nil
	}
	for _, e := range splitList(text) {
		if !slices.Contains(k.Allowed, e) {
			return reason("String must be one of: " + strings.Join(k.Allowed, ", "))
		}
	}
	return nil
}

// number prints a bound, which is a whole number in all but a few keys.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// splitList splits at commas, dropping blanks around elements and empty elements.
func splitList(text string) []string {
	var out []string
	for e := range strings.SplitSeq(text, ",") {
		if e = strings.TrimSpace(e); e != "" {
			out = append(out, e)
		}
	}
	return out
}

// Canonical is text, a value that check takes, as Kafka prints it once parsed
// (ConfigDef.convertToString).
func (k *Key) Canonical(text string) string {
	text = strings.TrimSpace(text)
	switch k.Type {
	case Boolean:
		return strings.ToLower(text)
	case Int, Short, Long:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	case Double:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return javaDouble(f)
		}
	case List:
		list, seen := splitList(text), map[string]bool{}
		return strings.Join(slices.DeleteFunc(list, func(e string) bool {
			twice := seen[e]
			seen[e] = true
			return twice
		}), ",")
	}
	return text
}

// javaDouble prints f as Java's Double.toString does: with a fraction always, and with an exponent below 10^-3 and
// from 10^7 on.
func javaDouble(f float64) string {
	a := math.Abs(f)
	if a != 0 && (a < 1e-3 || a >= 1e7) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
		n, _ := strconv.Atoi(exponent)
		return withFraction(mantissa) + "E" + strconv.Itoa(n)
	}
	return withFraction(strconv.FormatFloat(f, 'f', -1, 64))
}

func withFraction(s string) string {
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
