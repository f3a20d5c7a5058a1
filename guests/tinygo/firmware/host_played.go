//go:build !wasm

package firmware

import "edgeplug/internal/played"

func read(id string, offset uint64, length uint32) ([]byte, error) {
	return played.Current().ReadFirmware(id, offset, length)
}
