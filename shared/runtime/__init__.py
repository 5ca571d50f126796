"""What ties a process together: settings, logs, metrics, composition."""
