// Package config knows Sluice's settings: their names, types, defaults, bounds
// and where a value came from. The names are Kafka's, and so are the defaults
// wherever the meaning is the same; a key of our own exists only where Kafka has
// none.
//
// Values come, in rising order of precedence, from the table's defaults, a
// properties file, environment variables (log.dirs is SLUICE_LOG_DIRS) and
// key=value pairs of the command line. Everything wrong is reported at once, each
// problem with the place that it came from.
//
// The package does no I/O: it reads no file, flag, environment variable or
// clock. Callers hand in the text. Its values do not change after Load and may be
// used by any number of goroutines.
//
// Entry points: Load, Values.Broker (the typed form that a broker is built from),
// Topic and TopicEntries (a topic's settings), Lookup and Keys (the table).
package config
