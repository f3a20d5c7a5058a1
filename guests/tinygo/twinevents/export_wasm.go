package twinevents

import (
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_twin_events"
	"edgeplug/internal/wit_types"
)

func witDesiredChanged(change wit.Change) wit_types.Result[wit_types.Unit, string] {
	if exported == nil {
		panic("the plugin imports edgeplug/twinevents, but does not call twinevents.Export in an init function")
	}
	return convert.Success(exported.DesiredChanged(Change(change)))
}
