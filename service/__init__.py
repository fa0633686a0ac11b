"""The HTTP front, the domain and the command line of Waybill."""
