package difftest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

type gormCompany struct {
	ID       uint
	Name     string        `gorm:"uniqueIndex"`
	Projects []gormProject `gorm:"foreignKey:CompanyID"`
}

func (gormCompany) TableName() string { return "companies" }

type gormProject struct {
	CompanyID uint `gorm:"primaryKey;autoIncrement:false"`
	ID        uint `gorm:"primaryKey;autoIncrement"`
	Title     string
	Budget    float64
	Done      bool
	CreatedAt time.Time
	DeletedAt gorm.DeletedAt
	Tasks     []gormTask `gorm:"foreignKey:CompanyID,ProjectID;references:CompanyID,ID"`
}

func (gormProject) TableName() string { return "projects" }

type gormTask struct {
	CompanyID uint `gorm:"primaryKey;autoIncrement:false"`
	ID        uint `gorm:"primaryKey;autoIncrement"`
	ProjectID uint
	Label     string `gorm:"size:40;default:none"`
}

func (gormTask) TableName() string { return "tasks" }

// TestGORM migrates, distributes, migrates again, and works with associations.
func TestGORM(t *testing.T) {
	pair := NewPair(t, &shared, 2, 4)
	s := pair.Connect(t)
	models := []any{&gormCompany{}, &gormProject{}, &gormTask{}}
	compareDiaries(t, pair, func(ctx context.Context, dsn string, d *diary) error {
		db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard, TranslateError: false})
		if err != nil {
			return err
		}
		if pool, err := db.DB(); err == nil {
			defer pool.Close()
		}
		db = db.WithContext(ctx)
		if err := db.AutoMigrate(models...); err != nil {
			return err
		}
		if dsn == pair.Gateway {
			s.Distribute(t, "SELECT create_reference_table('companies')", "SELECT create_distributed_table('projects', 'company_id')",
				"SELECT create_distributed_table('tasks', 'company_id', colocate_with => 'projects')")
		}
		d.note("migrate again", db.AutoMigrate(models...))
		company := gormCompany{Name: "one", Projects: []gormProject{{Title: "a", Budget: 1.5, Tasks: []gormTask{{Label: "x"}, {}}}, {Title: "b"}}}
		d.note("create", db.Create(&company).Error, company.ID, company.Projects[0].ID, company.Projects[1].ID, company.Projects[0].Tasks[1].ID, company.Projects[0].Tasks[1].Label)
		d.note("duplicate", db.Create(&gormCompany{Name: "one"}).Error)
		d.note("upsert", db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.AssignmentColumns([]string{"name"})}).Create(&gormCompany{ID: 50, Name: "two"}).Error)
		var found gormCompany
		d.note("preload", db.Preload("Projects", func(q *gorm.DB) *gorm.DB { return q.Order("id") }).Preload("Projects.Tasks").First(&found, "name = ?", "one").Error, len(found.Projects))
		for _, p := range found.Projects {
			d.note("project", p.ID, p.Title, len(p.Tasks))
		}
		projects := make([]gormProject, 20)
		for i := range projects {
			projects[i] = gormProject{CompanyID: uint(50 - i%2*49), Title: fmt.Sprint("p", i), Budget: float64(i)}
		}
		d.note("batch", db.CreateInBatches(projects, 7).Error)
		var sums []struct {
			CompanyID uint
			Total     float64
			N         int64
		}
		d.note("group", db.Model(&gormProject{}).Select("company_id, sum(budget) AS total, count(*) AS n").Group("company_id").Having("count(*) > ?", 1).Order("company_id").Scan(&sums).Error, sums)
		res := db.Model(&gormProject{}).Where("budget > ?", 10).Updates(map[string]any{"done": true, "budget": gorm.Expr("budget * ?", 2)})
		d.note("update", res.Error, res.RowsAffected)
		res = db.Where("title LIKE ?", "p1%").Delete(&gormProject{})
		d.note("soft delete", res.Error, res.RowsAffected)
		var n int64
		d.note("count", db.Model(&gormProject{}).Count(&n).Error, n)
		d.note("count", db.Unscoped().Model(&gormProject{}).Count(&n).Error, n)
		var joined []string
		d.note("join", db.Table("projects p").Select("p.title || ':' || t.label").Joins("JOIN tasks t ON t.project_id = p.id AND t.company_id = p.company_id").Order("t.id").Scan(&joined).Error, joined)
		d.note("save", db.Save(&gormProject{CompanyID: 1, ID: company.Projects[0].ID, Title: "saved"}).Error)
		err = db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&gormProject{CompanyID: 1, Title: "inside"}).Error; err != nil {
				return err
			}
			err := tx.Transaction(func(tx *gorm.DB) error { return tx.Create(&gormCompany{Name: "one"}).Error })
			d.note("nested", err)
			return errors.New("roll back")
		})
		d.note("transaction", err)
		var titles []string
		d.note("titles", db.Unscoped().Model(&gormProject{}).Order("company_id, id").Pluck("title", &titles).Error, titles)
		d.note("add column", db.Exec("ALTER TABLE projects ADD COLUMN extra int DEFAULT 3").Error)
		d.note("has column", db.Migrator().HasColumn(&gormProject{}, "extra"), db.Migrator().HasIndex(&gormCompany{}, "idx_companies_name"))
		d.note("extra", db.Raw("SELECT sum(extra) FROM projects").Scan(&n).Error, n)
		return nil
	})
}
