package log

import (
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_log"
)

func log(level Level, message string) { wit.Log(wit.Level(min(level, Error)), convert.Text(message)) }
