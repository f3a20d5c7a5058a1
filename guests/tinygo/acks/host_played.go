//go:build !wasm

package acks

import (
	"edgeplug"
	"edgeplug/internal/played"
)

func finish(id string, ending edgeplug.Ending) error { return played.Current().Finish(id, ending) }

func progress(id string, percent uint8, message string) {
	played.Current().Progress(id, percent, message)
}
