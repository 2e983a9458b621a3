"""The Antfly dialect: AntflyBackup and AntflyRestore, and the AntflyCluster they refer to."""
