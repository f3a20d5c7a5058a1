//go:build !wasm

package log

import "edgeplug/internal/played"

func log(level Level, message string) { played.Current().Log(uint8(level), message) }
