package config

import (
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_config"
)

func get(key string) (string, bool) { return wit.Get(convert.Text(key)).Get() }

func all() []entry {
	pairs := wit.All()
	entries := make([]entry, 0, len(pairs))
	for _, pair := range pairs {
		entries = append(entries, entry{pair.F0, pair.F1})
	}
	return entries
}
