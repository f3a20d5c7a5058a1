// Package config has the plugin's settings: the `[config]` table of its manifest. All values are text. They change only
// by a restart of the plugin, so one look when it starts is enough.
package config

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Get is the value of a key, and whether the manifest has it.
func Get(key string) (value string, found bool) { return get(key) }

// All is every key with its value, ordered by key.
func All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, entry := range all() {
			if !yield(entry.key, entry.value) {
				return
			}
		}
	}
}

// Parsed is the value of a key as `parse` reads it, or the fallback when the manifest does not have the key. The error
// names the key and the value.
func Parsed[T any](key string, fallback T, parse func(string) (T, error)) (T, error) {
	text, found := Get(key)
	if !found {
		return fallback, nil
	}
	value, err := parse(strings.TrimSpace(text))
	if err != nil {
		return fallback, fmt.Errorf("config key %s is %q, which does not parse: %w", key, text, err)
	}
	return value, nil
}

// Float is [Parsed] for numbers with decimals.
func Float(key string, fallback float64) (float64, error) {
	return Parsed(key, fallback, func(text string) (float64, error) { return strconv.ParseFloat(text, 64) })
}

// Int is [Parsed] for whole numbers.
func Int(key string, fallback int64) (int64, error) {
	return Parsed(key, fallback, func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) })
}

// Bool is [Parsed] for `true` and `false`.
func Bool(key string, fallback bool) (bool, error) { return Parsed(key, fallback, strconv.ParseBool) }

// Duration is [Parsed] for times such as `1m30s`.
func Duration(key string, fallback time.Duration) (time.Duration, error) {
	return Parsed(key, fallback, time.ParseDuration)
}

type entry struct{ key, value string }
