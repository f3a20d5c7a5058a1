//go:build !wasm

package config

import (
	"maps"
	"slices"

	"edgeplug/internal/played"
)

func get(key string) (string, bool) {
	value, found := played.Current().Config()[key]
	return value, found
}

func all() []entry {
	table := played.Current().Config()
	var entries []entry
	for _, key := range slices.Sorted(maps.Keys(table)) {
		entries = append(entries, entry{key, table[key]})
	}
	return entries
}
