"""Folder of FiftyOne plugins, as FIFTYONE_PLUGINS_DIR names one."""
