//go:build !wasm

package state

import "edgeplug/internal/played"

func get(key string) ([]byte, error) { return played.Current().State(key) }

func set(key string, value []byte) error { return played.Current().SetState(key, value) }

func remove(key string) error { return played.Current().DeleteState(key) }

func keys() ([]string, error) { return played.Current().StateKeys() }
