// Package coordination tests the coordinator's client against the coordinator, in one process and over sockets. It has
// no code for others.
package coordination
