"""Plain loops without Waybill, which its processes are compared with, and a worker whose handler does nothing."""
