// Package demo runs `sluice demo`, the first thing that a new user runs, as a short version of itself.
package demo
