package connectionevents

import wit "edgeplug/internal/wit/imports/edgeplug_plugin_connection_events"

func witChanged(connection wit.Connection) {
	if exported == nil {
		panic("the plugin imports edgeplug/connectionevents, but does not call connectionevents.Export in an init function")
	}
	if connection.Tag() == wit.Connection_Connected {
		exported.ConnectionChanged(Connection{Connected: true})
	} else {
		exported.ConnectionChanged(Connection{Reason: connection.Disconnected()})
	}
}
