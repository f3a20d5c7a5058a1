// Lets this package declare functions that have their bodies elsewhere.
