//go:build !wasm

package files

import "edgeplug/internal/played"

func read(path string) ([]byte, error) { return played.Current().ReadFile(path) }

func readAt(path string, offset uint64, length uint32) ([]byte, error) {
	return played.Current().ReadFileAt(path, offset, length)
}

func find(pattern string) ([]string, error) { return played.Current().FindFiles(pattern) }
