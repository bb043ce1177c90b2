// Package rig starts, stops and kills brokers for the programs that measure them, on loopback, with data where the
// program says. It is no part of tests: those have internal/testkit.
package rig
