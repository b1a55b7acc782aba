//go:build tools

// Package tools names the program that tests run, so that its versions and sums are kept.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
