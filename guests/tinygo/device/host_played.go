//go:build !wasm

package device

import "edgeplug/internal/played"

func uniqueID() string { return played.Current().UniqueID() }

func template() *Model { return played.Current().Template().(*Model) }

func connected() bool { return played.Current().Connected() }

func disconnect() error { return played.Current().SwitchConnection(false) }

func reconnect() error { return played.Current().SwitchConnection(true) }
